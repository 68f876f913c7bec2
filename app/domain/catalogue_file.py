"""Reads the event catalogue from TOML. Every error names file, line and key, and all are told at once.

`[event.<type>]` is one type (`[event."a.b"]` where its name has a dot), `[event."*"]` the rule for all types not named,
and `[defaults]` holds `max_ttl_s`. Whether templates are good jinja2 is found where they are rendered.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any, Final

import msgspec

from app.domain.catalogue import Catalogue, EventRule
from app.domain.channel import CHANNEL_BY_NAME
from app.domain.errors import ConfigError
from app.domain.event import EventType
from app.domain.lane import Priority
from app.domain.toml_lines import Path, key_lines

#: The longest ttl of any type where `[defaults]` does not say: 7 days.
MAX_TTL_S: Final = 7 * 24 * 3600
#: The name of the rule for types that are not named.
ANY_TYPE: Final = "*"

_SYNTAX_ERROR: Final = re.compile(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)")


def load_catalogue(text: str, name: str) -> Catalogue:
    """The catalogue in this text. `name` is the file's, for the errors. Raises ConfigError, one line for each fault."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax_error(str(error), text, name)) from error
    reader = _Reader(key_lines(text), name)
    catalogue = reader.catalogue(document)
    if catalogue is None:
        raise ConfigError("\n".join(message for _, message in sorted(reader.errors, key=itemgetter(0))))
    return catalogue


def template_place(text: str, name: str, event_type: str, field: str) -> str:
    """Where a type's template is in the text: `catalogue.toml:12`."""
    lines = key_lines(text)
    return f"{name}:{lines.get(('event', event_type, field), 1)}"


def _syntax_error(message: str, text: str, name: str) -> str:
    found = _SYNTAX_ERROR.fullmatch(message)
    line = int(found[2]) if found and found[2] else text.count("\n") + 1
    return f"{name}:{line}: {found[1] if found else message}"


class _Reader:
    """One reading: collects errors as (line, text) and goes on."""

    def __init__(self, lines: Mapping[Path, int], name: str) -> None:
        self.errors: list[tuple[int, str]] = []
        self._lines = lines
        self._name = name

    def catalogue(self, document: dict[str, Any]) -> Catalogue | None:
        """The catalogue, or None where there were errors."""
        self._known_keys((), document, ("defaults", "event"))
        max_ttl_s = self._max_ttl_s(self._table(("defaults",), document.get("defaults", {})))
        events = self._table(("event",), document.get("event", {}))
        rules = {name: self._rule(name, value, max_ttl_s) for name, value in events.items()}
        if ANY_TYPE not in events:
            self._error(("event",), f'[event."{ANY_TYPE}"], the rule for types not named, is missing')
        read = {name: rule for name, rule in rules.items() if rule is not None}
        if self.errors:
            return None
        return Catalogue(default=read.pop(ANY_TYPE), rules=read, max_ttl_s=max_ttl_s)

    def _max_ttl_s(self, table: Mapping[str, Any]) -> int:
        self._known_keys(("defaults",), table, ("max_ttl_s",))
        value = self._checked(("defaults", "max_ttl_s"), table.get("max_ttl_s", MAX_TTL_S), _positive)
        return MAX_TTL_S if value is None else int(value)

    def _rule(self, name: str, table: Any, max_ttl_s: int) -> EventRule | None:
        path = ("event", name)
        faults = len(self.errors)
        if name != ANY_TYPE:
            self._checked(path, name, _event_type)
        if not isinstance(table, dict):
            self._error(path, "expected a table")
            return None
        self._known_keys(path, table, _CHECKS)
        for key in _REQUIRED:
            if key not in table:
                self._error(path, f"{key} is missing")
        fields = {key: self._checked((*path, key), table[key], _CHECKS[key]) for key in _CHECKS if key in table}
        if (fields.get("ttl_s") or 0) > max_ttl_s:
            self._error((*path, "ttl_s"), f"expected at most {max_ttl_s} (max_ttl_s)")
        if len(self.errors) > faults:
            return None
        fields.setdefault("in_doubt", "resend" if fields["priority"] is Priority.HIGH else "unknown")
        return EventRule(event_type=name, **fields)

    def _known_keys(self, path: Path, table: Mapping[str, Any], known: Iterable[str]) -> None:
        for key in table:
            if key not in known:
                self._error((*path, key), _unknown_key(path, key, table[key], known))

    def _table(self, path: Path, value: Any) -> Mapping[str, Any]:
        if isinstance(value, dict):
            return value
        self._error(path, "expected a table")
        return {}

    def _checked(self, path: Path, value: Any, check: Callable[[Any], Any]) -> Any:
        """What the check makes of the value, or None after noting what it expected."""
        try:
            return check(value)
        except ValueError as error:
            self._error(path, f"expected {error}")
            return None

    def _error(self, path: Path, message: str) -> None:
        line = next((self._lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self._lines), 1)
        self.errors.append((line, f"{self._name}:{line}: {'.'.join(path)}: {message}"))


def _unknown_key(path: Path, key: str, value: Any, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f"unknown key; did you mean {near[0]}?"
    if path and isinstance(value, dict):
        dotted = ".".join((*path[1:], key))
        return f'unknown key; for the type {dotted} write [event."{dotted}"]'
    return f"unknown key; expected one of {', '.join(known)}"


# Each check returns the value for EventRule, or raises ValueError with what was expected.


def _one_of(*words: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in words:
            raise ValueError(f"{', '.join(words[:-1])} or {words[-1]}")
        return str(value)

    return check


def _priority(value: Any) -> Priority:
    return Priority(_one_of(*Priority)(value))


def _channels(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise ValueError("a list of channels, at least one")
    for name in value:
        if name not in CHANNEL_BY_NAME:
            near = difflib.get_close_matches(name, CHANNEL_BY_NAME, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"channels out of {', '.join(CHANNEL_BY_NAME)}, not {name!r}{hint}")
    return tuple(dict.fromkeys(value))


def _positive(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError("a whole number of seconds above 0")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text that is not empty")
    return value


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")  # noqa: TRY004 - one error type for all checks
    return value


def _event_type(value: Any) -> str:
    try:
        return msgspec.convert(value, EventType)
    except msgspec.ValidationError as error:
        raise ValueError("up to 64 of a-z 0-9 _ . - with a letter or digit first") from error


_CHECKS: Final[dict[str, Callable[[Any], Any]]] = {
    "category": _text,
    "priority": _priority,
    "channels": _channels,
    "ttl_s": _positive,
    "subject": _text,
    "text": _text,
    "html": _text,
    "critical": _switch,
    "over_user_limit": _one_of("park", "drop"),
    "in_doubt": _one_of("resend", "unknown"),
}
_REQUIRED: Final = ("category", "priority", "channels", "ttl_s", "subject", "text")
