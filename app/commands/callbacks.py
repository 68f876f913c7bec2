"""`keys callback`: where the sender behind an API key is told what became of its notifications."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import click
from msgspec import structs

from app.commands.output import json_option, not_found, print_json, print_record, print_rows, shown_time
from app.domain.api_key import ApiKey
from app.domain.callback import CallbackReceiver, new_salt, signing_secret, trial_callback
from app.domain.clock import now_ms
from app.domain.errors import PermanentError
from app.domain.ports import CallbackCaller
from app.settings import Settings, settings
from infrastructure import wiring

COLUMNS = ("key", "name", "url", "since", "waiting", "failing_since", "last_error", "disabled_at", "disabled_why")


@click.group()
def callback() -> None:
    """Callbacks: a URL for each API key that is told what became of what it sent."""


@callback.command("set")
@click.argument("key_id", metavar="ID")
@click.argument("url")
@click.option("--new-secret", "is_new", is_flag=True, help="Sign with another secret from now on.")
@json_option
def set_receiver(key_id: str, url: str, is_new: bool, as_json: bool) -> None:
    """Tell callbacks of this key to a URL (https), from now on; one that was disabled is enabled.

    The secret that signs them is shown when it is made, this once: of itself it is not stored.
    """
    current = settings()
    key = _key(key_id, current)
    if key.revoked_at_ms:
        raise click.ClickException(f"key {key_id} is revoked")
    checked = _checked(url, current)
    store = wiring.callback_receivers(current)
    before = store.find([key_id]).get(key_id)
    is_fresh = is_new or before is None
    receiver = _changed(before, key_id, checked, is_fresh=is_fresh)
    store.put(receiver)
    shown = signing_secret(receiver, wiring.secret(current)) if is_fresh else None
    if as_json:
        print_json({"key": key_id, "url": checked, "secret": shown})
    elif shown:
        click.echo(shown)
    told = "It is signed with this secret, which is not shown again." if shown else "Its secret stays as it is."
    click.echo(f"Callbacks of key {key_id} go to {checked}. {told}", err=True)
    if not current.has_callbacks:
        click.echo("NOTIFY_HTTP_AUTH is not keys here: where no key is asked for, nobody has callbacks.", err=True)


@callback.command("show")
@click.argument("key_id", metavar="[ID]", required=False)
@json_option
def show(key_id: str | None, as_json: bool) -> None:
    """Show where callbacks go, how many wait, and whose receiver fails or is disabled; never a secret."""
    current = settings()
    names = {key.id: key.name for key in wiring.api_keys(current).list()}
    waiting = wiring.pending_callbacks(current).counts()
    receivers = wiring.callback_receivers(current).list()
    rows = [_cells(one, names.get(one.key_id, ""), waiting.get(one.key_id, 0)) for one in receivers]
    if key_id is None:
        print_rows("Callbacks", COLUMNS, rows, as_json)
        return
    for row in rows:
        if row[0] == key_id:
            print_record("Callbacks", dict(zip(COLUMNS, row, strict=True)), as_json)
            return
    raise _none_of(key_id)


@callback.command("test")
@click.argument("key_id", metavar="ID")
@json_option
def try_out(key_id: str, as_json: bool) -> None:
    """Call the key's URL once, disabled or not, with a callback of type `callback.test`; it counts for nothing."""
    current = settings()
    receiver = _receiver(key_id, current)
    started_s = time.monotonic()
    with _caller(current) as caller:
        error = caller.call(receiver, trial_callback(receiver, now_ms()))
    told = {
        "key": key_id,
        "result": "taken" if error is None else "not_taken",
        "detail": "" if error is None else error.detail or error.reason,
        "duration_ms": round(1000 * (time.monotonic() - started_s)),
    }
    print_record("Callback", told, as_json)
    if error is not None:
        raise click.exceptions.Exit(1)


@callback.command("remove")
@click.argument("key_id", metavar="ID")
def remove(key_id: str) -> None:
    """Tell this key's sender nothing any more; what waits for it is dropped within a minute."""
    if not wiring.callback_receivers(settings()).remove(key_id):
        raise _none_of(key_id)


def _key(key_id: str, current: Settings) -> ApiKey:
    for key in wiring.api_keys(current).list():
        if key.id == key_id:
            return key
    raise not_found(f"key {key_id}")


def _receiver(key_id: str, current: Settings) -> CallbackReceiver:
    found = wiring.callback_receivers(current).find([key_id]).get(key_id)
    if found is None:
        raise _none_of(key_id)
    return found


def _none_of(key_id: str) -> click.ClickException:
    return not_found(f"callback of key {key_id}")


def _checked(url: str, current: Settings) -> str:
    with _caller(current) as caller:
        try:
            return caller.check_url(url)
        except PermanentError as error:
            raise click.BadParameter(error.detail, param_hint="URL") from error


@contextlib.contextmanager
def _caller(current: Settings) -> Iterator[CallbackCaller]:
    caller = wiring.callback_caller(current)
    try:
        yield caller
    finally:
        caller.close()


def _changed(before: CallbackReceiver | None, key_id: str, url: str, *, is_fresh: bool) -> CallbackReceiver:
    """The receiver as it is to be. One that is live goes on where it is: nothing that is under way is left out."""
    since_ms = now_ms() if before is None or before.disabled_at_ms else before.since_ms
    salt = new_salt() if before is None or is_fresh else before.salt
    receiver = CallbackReceiver(key_id=key_id, url=url, salt=salt, since_ms=since_ms)
    if before is not None and before.url == url and not before.disabled_at_ms:
        return structs.replace(receiver, failing_since_ms=before.failing_since_ms, last_error=before.last_error)
    return receiver


def _cells(one: CallbackReceiver, name: str, waiting: int) -> list[Any]:
    failing, disabled = shown_time(one.failing_since_ms), shown_time(one.disabled_at_ms)
    state = (failing, one.last_error, disabled, one.disabled_why)
    return [one.key_id, name, one.url, shown_time(one.since_ms), waiting, *state]
