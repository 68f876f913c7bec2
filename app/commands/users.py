"""`users`: who can be notified, where, and what they want."""

from __future__ import annotations

from typing import Any

import click
import msgspec
from msgspec import structs

from app.commands.output import json_option, not_found, print_json, print_record, print_rows, shown_time
from app.domain.channel import CHANNELS
from app.domain.chat_sealing import sealed_user
from app.domain.clock import now_ms
from app.domain.masking import masked
from app.domain.user_rules import check_user
from app.domain.users import Preferences, QuietHours, User
from app.http.devices import DeviceView, device_view
from app.http.forgotten_view import forgotten_view
from app.settings import settings
from infrastructure import wiring
from infrastructure.sealing import Sealing

#: A hundred years: what is meant for longer is no time.
MAX_HOURS = 876_000
MS_PER_HOUR = 3_600_000
ANY = "*"


@click.group()
def users() -> None:
    """Users: contacts, locale, time zone, preferences."""


@users.command("list")
@click.option("--after", default="", help="Start behind this user id.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1))
@json_option
def list_users(after: str, limit: int, as_json: bool) -> None:
    """List users in order of id."""
    rows = [_fields(user) for user in wiring.users(settings()).list(after=after, limit=limit)]
    columns = list(_fields(User(id="")))
    print_rows("Users", columns, [list(row.values()) for row in rows], as_json)


@users.command()
@click.argument("user_id")
@json_option
def show(user_id: str, as_json: bool) -> None:
    """Show one user."""
    print_record("User", _fields(_known(user_id)), as_json)


@users.command("set")
@click.argument("user_id")
@click.option("--email")
@click.option("--phone", help="E.164, such as +4930123456.")
@click.option("--webhook", help="An http or https URL.")
@click.option("--chat", help="A chat URL, such as slack://TokenA/TokenB/TokenC; stored sealed.")
@click.option("--locale", help="A language tag, such as pt-BR.")
@click.option("--timezone", help="An IANA name, such as Europe/Berlin.")
@json_option
def set_user(user_id: str, as_json: bool, **given: str | None) -> None:
    """Add a user or change what is given; an empty contact removes it."""
    store = wiring.users(settings())
    user = _changed(store.get(user_id) or User(id=user_id), given)
    problems = check_user(user)
    if problems:
        raise click.ClickException("; ".join(f"{pointer}: {detail}" for pointer, detail in problems))
    store.put(sealed_user(user, Sealing(wiring.secret(settings())).seal))
    print_record("User", _fields(user), as_json)


@users.command()
@click.argument("user_id")
@json_option
def devices(user_id: str, as_json: bool) -> None:
    """List a user's devices; of their tokens as much as tells them apart."""
    views = map(device_view, wiring.devices(settings()).of_user(user_id))
    columns = DeviceView.__struct_fields__
    print_rows("Devices", columns, [[getattr(view, name) for name in columns] for view in views], as_json)


@users.command()
@click.argument("user_id")
def delete(user_id: str) -> None:
    """Remove a user with preferences, inbox and devices."""
    if not wiring.users(settings()).delete(user_id):
        raise not_found(f"user {user_id}")


@users.command()
@click.argument("user_id")
@click.option("--vacuum", is_flag=True, help="SQLite: rewrite the files, so that no deleted byte is left in them.")
@json_option
def forget(user_id: str, vacuum: bool, as_json: bool) -> None:
    """Forget a user: contacts, preferences, inbox, devices, content of events; cancel what is not sent yet."""
    done = forgotten_view(wiring.forget_user(settings()).forget(user_id))
    if vacuum:
        wiring.vacuum_stores(settings())
    if as_json:
        print_json(done)
        return
    print_rows("Removed", ("what", "count"), list(done.removed.items()), as_json)
    held = [(one.where, one.what, one.until) for one in done.still_held]
    print_rows("Still held", ("where", "what", "until"), held, as_json)


@users.group()
def prefs() -> None:
    """What a user wants, and when."""


@prefs.command("show")
@click.argument("user_id")
@json_option
def show_preferences(user_id: str, as_json: bool) -> None:
    """Show a user's preferences."""
    _known(user_id)
    _print_preferences(wiring.preferences(settings()).get(user_id), as_json)


@prefs.command("set")
@click.argument("user_id")
@click.argument("category")
@click.argument("channel", type=click.Choice([ANY, *(spec.name for spec in CHANNELS)]))
@click.argument("wanted", type=click.Choice(["on", "off", "default"]))
@json_option
def set_preference(user_id: str, category: str, channel: str, wanted: str, as_json: bool) -> None:
    """Turn a channel on or off for a category; `*` stands for all."""
    found = _preferences_of(user_id)
    of_category = {name: value for name, value in found.channels.get(category, {}).items() if name != channel}
    if wanted != "default":
        of_category[channel] = wanted == "on"
    channels = {name: value for name, value in (found.channels | {category: of_category}).items() if value}
    _store(user_id, structs.replace(found, channels=channels), as_json)


@prefs.command()
@click.argument("user_id")
@click.option("--hours", type=click.FloatRange(min=0, min_open=True, max=MAX_HOURS), help="How long from now.")
@click.option("--off", is_flag=True, help="End it now.")
@json_option
def mute(user_id: str, hours: float | None, off: bool, as_json: bool) -> None:
    """Mute everything but critical events for some hours."""
    if (hours is None) != off:
        raise click.UsageError("give either --hours or --off")
    until_ms = now_ms() + round(hours * MS_PER_HOUR) if hours else 0
    _store(user_id, structs.replace(_preferences_of(user_id), muted_until_ms=until_ms), as_json)


@prefs.command()
@click.argument("user_id")
@click.argument("start", required=False)
@click.argument("end", required=False)
@click.option("--off", is_flag=True, help="Remove them.")
@json_option
def quiet(user_id: str, start: str | None, end: str | None, off: bool, as_json: bool) -> None:
    """Set quiet hours, HH:MM to HH:MM on the user's own clock."""
    if off == (start is not None) or (start is None) != (end is None):
        raise click.UsageError("give either START and END or --off")
    hours = None if off else _quiet_hours({"start": start, "end": end})
    _store(user_id, structs.replace(_preferences_of(user_id), quiet_hours=hours), as_json)


def _fields(user: User) -> dict[str, Any]:
    contacts = structs.asdict(user.contacts)
    if contacts["chat"]:
        contacts["chat"] = masked(contacts["chat"])
    return {"id": user.id, **contacts, "locale": user.locale, "timezone": user.timezone}


def _known(user_id: str) -> User:
    user = wiring.users(settings()).get(user_id)
    if user is None:
        raise not_found(f"user {user_id}")
    return user


def _changed(user: User, given: dict[str, str | None]) -> User:
    values = {name: value for name, value in given.items() if value is not None}
    contacts = {name: values.pop(name) or None for name in user.contacts.__struct_fields__ if name in values}
    return structs.replace(user, contacts=structs.replace(user.contacts, **contacts), **values)


def _preferences_of(user_id: str) -> Preferences:
    return wiring.preferences(settings()).get(_known(user_id).id)


def _store(user_id: str, preferences: Preferences, as_json: bool) -> None:
    wiring.preferences(settings()).put(user_id, preferences)
    _print_preferences(preferences, as_json)


def _print_preferences(preferences: Preferences, as_json: bool) -> None:
    if as_json:
        print_record("Preferences", structs.asdict(preferences), as_json)
        return
    hours = preferences.quiet_hours
    muted = {"muted_until": shown_time(preferences.muted_until_ms)}
    print_record("Preferences", muted | {"quiet_hours": f"{hours.start} to {hours.end}" if hours else None}, as_json)
    rows = [
        (category, channel, "on" if is_wanted else "off")
        for category, channels in sorted(preferences.channels.items())
        for channel, is_wanted in sorted(channels.items())
    ]
    print_rows("Channels", ("category", "channel", "wanted"), rows, as_json)


def _quiet_hours(hours: dict[str, str | None]) -> QuietHours:
    try:
        return msgspec.convert(hours, QuietHours)
    except msgspec.ValidationError as error:
        raise click.BadParameter("START and END must be times such as 22:00") from error
