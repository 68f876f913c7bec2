"""`manage.py providers`: who hands messages over, how they do, and switches for operators."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from typing import Final

import click

from app.commands.moment import DURATION
from app.commands.output import json_option, not_found, print_record, print_rows, shown_time
from app.commands.provider_table import COLUMNS, Named, all_providers, table
from app.commands.provider_trial import try_out
from app.domain.clock import now_ms
from app.domain.errors import StoreUnavailableError
from app.domain.ports import Channels, SwitchedOff
from app.settings import settings
from infrastructure import wiring

_REASON_LENGTH: Final = 200


@click.group()
def providers() -> None:
    """Who hands messages over: list, test, disable, enable."""


@providers.command("list")
@json_option
def list_providers(as_json: bool) -> None:
    """List the providers of every channel, with what the settings say of them and how they do now; no secrets.

    health_percent: how much of its weight a provider is given, by its latest calls. Where Redis does not answer,
    health, breaker and switches are left out.
    """
    config = settings()
    found = all_providers(_channels())
    off: Mapping[str, SwitchedOff] | None = None
    try:
        off = wiring.provider_switches(config).all()
    except StoreUnavailableError as error:
        click.echo(f"Warning: health, breakers and switches are not known: {error}", err=True)
    print_rows("Providers", COLUMNS, table(config, found, off), as_json)


@providers.command()
@click.argument("name")
@click.option("--for", "for_ms", type=DURATION, help="30m, 2h: enabled again after it. Not given: until `enable`.")
@click.option("--reason", default="", help="Shown by `list`.")
def disable(name: str, for_ms: int | None, reason: str) -> None:
    """Give NAME no more deliveries: workers see it within a second; calls under way end as they do.

    Its deliveries go to the channel's other providers. Where there is none, they wait in Kafka, and are lost only to
    their expiry. It is kept in Redis alone: a Redis that is flushed has all providers enabled.
    """
    found, switches, now = all_providers(_channels()), wiring.provider_switches(settings()), now_ms()
    one = _named(found, name)
    until_ms = now + for_ms if for_ms else 0
    switches.disable(name, SwitchedOff(at_ms=now, until_ms=until_ms, by=_operator(), reason=reason[:_REASON_LENGTH]))
    click.echo(f"{name} is disabled {f'until {shown_time(until_ms)}' if until_ms else 'until it is enabled'}")
    off = switches.all()
    if all(other.provider.name in off for other in found if other.channel == one.channel):
        click.echo(f"Warning: no provider of {one.channel} is left: its deliveries wait in Kafka.", err=True)


@providers.command()
@click.argument("name")
def enable(name: str) -> None:
    """Give NAME deliveries again: workers see it within a second."""
    switches = wiring.provider_switches(settings())
    if name not in switches.all():
        _named(all_providers(_channels()), name)
    was_off = switches.enable(name)
    click.echo(f"{name} is enabled" if was_off else f"{name} was not disabled")


@providers.command()
@click.argument("name")
@click.option("--to", "address", required=True, help="Address, as the channel has them: +442071838750, me@example.com.")
@json_option
def test(name: str, address: str, as_json: bool) -> None:
    """Send one real message to an address by NAME alone, also if it is disabled.

    Nobody else is asked, nothing is recorded; the call counts for its rate only. Exit code 1 if it is not taken.
    """
    result = try_out(_named(all_providers(_channels()), name), address, settings())
    print_record("Test", result, as_json)
    if result["result"] != "ok":
        raise click.exceptions.Exit(1)


def _named(found: list[Named], name: str) -> Named:
    """The provider of this name. Raises ClickException, with the names there are."""
    for one in found:
        if one.provider.name == name:
            return one
    raise not_found(f"provider {name}; there are {', '.join(one.provider.name for one in found)}")


def _channels() -> Channels:
    return wiring.channels(settings())


def _operator() -> str:
    """Who gives the command; empty where this system has no name for them, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""
