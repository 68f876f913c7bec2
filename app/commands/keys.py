"""`keys`: API keys of the HTTP service (NOTIFY_HTTP_AUTH=keys)."""

from __future__ import annotations

from typing import Any

import click

from app.commands.callbacks import callback
from app.commands.output import json_option, not_found, print_json, print_rows, shown_time
from app.domain.api_key import ApiKey, Scope, make_key, new_token
from app.domain.clock import now_ms
from app.domain.rate import Rate, parse_rate
from app.settings import settings
from infrastructure import wiring

COLUMNS = ("id", "name", "scopes", "limit", "created_at", "revoked_at", "last_used_at")


@click.group()
def keys() -> None:
    """API keys: who may use the HTTP service, and for what."""


keys.add_command(callback)


def _rate(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Rate | None:
    try:
        return parse_rate(value) if value else None
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="May be given more than once.",
)
@click.option("--limit", callback=_rate, help="Requests it may make, such as 100/s or 600/10m:50; none if not given.")
@json_option
def create(name: str, scopes: tuple[str, ...], limit: Rate | None, as_json: bool) -> None:
    """Make a key and show it, this once: only a hash of it is stored."""
    current, token = settings(), new_token()
    try:
        key = make_key(
            token, name=name, scopes=map(Scope, scopes), limit=limit, secret=wiring.secret(current), now_ms=now_ms()
        )
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    wiring.api_keys(current).add(key)
    if as_json:
        print_json({"id": key.id, "key": token})
        return
    click.echo(token)
    click.echo(f"Key {key.id} is made. It is not shown again.", err=True)


@keys.command("list")
@click.option("--all", "is_all", is_flag=True, help="The revoked ones too.")
@json_option
def list_keys(is_all: bool, as_json: bool) -> None:
    """List keys, oldest first; never the keys themselves. Last use is up to a minute behind."""
    shown = [key for key in wiring.api_keys(settings()).list() if is_all or not key.revoked_at_ms]
    print_rows("API keys", COLUMNS, [_cells(key) for key in shown], as_json)


@keys.command()
@click.argument("key_id", metavar="ID")
def revoke(key_id: str) -> None:
    """Revoke a key, for good: within NOTIFY_KEYS_REFRESH_S it is refused everywhere."""
    if not wiring.api_keys(settings()).revoke(key_id, now_ms()):
        raise not_found(f"key {key_id}")


def _cells(key: ApiKey) -> list[Any]:
    times = (key.created_at_ms, key.revoked_at_ms, key.last_used_at_ms)
    limit = None if key.limit is None else str(key.limit)
    return [key.id, key.name, " ".join(sorted(key.scopes)), limit, *map(shown_time, times)]
