"""An explanation as people read it: what holds for the event, then one delivery after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import click

from app.commands.output import NOTHING, printable
from app.domain.violation import InvalidInputError
from app.explain.explanation import (
    AddressSeen,
    BreakerSeen,
    DeliveryExplanation,
    Explanation,
    Foreseen,
    LimitStates,
    PreferencesSeen,
    ProviderSeen,
    SmsSeen,
    UserSeen,
)

_NAME_WIDTH: Final = 12


def report(explained: Explanation) -> None:
    """Print it."""
    _print("Event", _event(explained))
    for delivery in explained.deliveries:
        _print(f"Delivery {delivery.lane}", _delivery(delivery))


def violations_report(error: InvalidInputError) -> None:
    """Print what is wrong with an event, by place."""
    _print("Invalid event", ((violation.pointer or "/", violation.detail) for violation in error.violations))


def _print(title: str, rows: Iterable[tuple[str, str]]) -> None:
    """The rows below the title; a text of several lines goes on below itself."""
    click.echo(f"{title}\n")
    for name, text in rows:
        first, *others = [printable(line) for line in text.strip().splitlines()] or [NOTHING]
        click.echo(f"  {printable(name):{_NAME_WIDTH}} {first}")
        for line in others:
            click.echo(f"  {'':{_NAME_WIDTH}} {line}".rstrip())
    click.echo()


def _event(explained: Explanation) -> Iterator[tuple[str, str]]:
    is_named = "" if explained.is_named else " (not in the catalogue: its default holds)"
    yield "event type", explained.event_type + is_named
    yield "category", explained.category + (", critical" if explained.critical else "")
    yield "priority", f"{explained.priority.value} ({explained.priority.source})"
    yield "channels", f"{', '.join(explained.channels.value)} ({explained.channels.source})"
    yield "expires", f"{explained.expires_at}, {explained.ttl_s.value} s from {explained.at} ({explained.ttl_s.source})"
    yield "user", f"{explained.user_id}, {_user(explained.user)}"
    if explained.verdict is not None:
        yield "verdict", verdict_text(explained.verdict)


def _user(user: UserSeen) -> str:
    if user.unknown:
        return _unknown(user.unknown)
    known = "" if user.is_known else "not stored: "
    return f"{known}locale {user.locale}, time zone {user.timezone}"


def _delivery(one: DeliveryExplanation) -> Iterator[tuple[str, str]]:
    yield "verdict", verdict_text(one.verdict)
    yield "provider", _provider(one.provider)
    yield "address", _address(one.address)
    yield "preferences", ", ".join(_preferences(one.preferences))
    yield "user limits", _limits(one.user_limits)
    yield "lane limits", _limits(one.lane_limits)
    yield "breaker", _breaker(one.breaker)
    content = one.content
    if content.problem:
        yield "content", f"cannot be rendered: {content.problem}"
        return
    yield "subject", content.subject
    yield "text", content.text
    if content.sms:
        yield "sms", _sms(content.sms)
    if content.html:
        yield "html", f"{len(content.html.encode())} bytes, shown by --json"


def verdict_text(verdict: Foreseen) -> str:
    """`parked: quiet_hours until 2026-11-23T06:00:00.000Z`."""
    text = verdict.status + (f": {verdict.reason}" if verdict.reason else "")
    text += f" ({verdict.detail})" if verdict.detail else ""
    text += f" until {verdict.until}" if verdict.until else ""
    return text + (f", then {verdict_text(verdict.then)}" if verdict.then else "")


def _provider(provider: ProviderSeen) -> str:
    if provider.unknown:
        return _unknown(provider.unknown)
    if not provider.is_configured:
        return "not configured"
    return provider.name + (f" (disabled: {', '.join(provider.disabled)})" if provider.disabled else "")


def _address(address: AddressSeen) -> str:
    if address.unknown:
        return _unknown(address.unknown)
    if not address.is_found:
        return "none"
    found = "the user id" if address.source == "user_id" else f"{address.masked} ({address.source})"
    found += f", suppressed: {address.suppressed}" if address.suppressed else ""
    return found + (f", refused: {address.problem}" if address.problem else "")


def _preferences(found: PreferencesSeen) -> Iterator[str]:
    if found.is_ignored:
        yield "ignored, for the event type is critical"
    if found.unknown:
        yield _unknown(found.unknown)
        return
    entry = "no entry" if found.entry is None else f"{found.entry[0]} x {found.entry[1]}"
    yield f"{'on' if found.is_wanted else 'off'} ({entry})"
    yield f"muted until {found.muted_until}" if found.muted_until else "not muted"
    quiet = found.quiet_hours
    if quiet is None:
        yield "no quiet hours"
    else:
        now = f"now, until {quiet.until}" if quiet.until else "not now"
        yield f"quiet {quiet.start} to {quiet.end} {quiet.timezone} ({now})"


def _limits(states: LimitStates) -> str:
    if states.unknown:
        return _unknown(states.unknown)
    shown = [
        f"{one.limit} {one.rate}: {f'{one.left} left' if one.left else f'none left until {one.next_at}'}"
        for one in states.limits
    ]
    return "; ".join(shown) or "none set"


def _breaker(breaker: BreakerSeen) -> str:
    if breaker.unknown:
        return _unknown(breaker.unknown)
    if breaker.state is None:
        return NOTHING
    return breaker.state.replace("_", " ") + (f" until {breaker.open_until}" if breaker.open_until else "")


def _sms(sms: SmsSeen) -> str:
    """`GSM-7, 165 characters (170 septets), 2 segments`."""
    units = "septets" if sms.encoding == "GSM-7" else "UTF-16 units"
    wide = f" ({sms.units} {units})" if sms.units != sms.characters else ""
    number = f"{sms.segments} segment{'s' if sms.segments > 1 else ''}"
    return f"{sms.encoding}, {sms.characters} character{'s' if sms.characters > 1 else ''}{wide}, {number}"


def _unknown(why: str) -> str:
    return f"unknown: {why}"
