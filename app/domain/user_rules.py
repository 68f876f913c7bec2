"""What a user's record must look like before it is stored: by HTTP and by command alike.

Shapes only. Whether an address can be reached, or may be, is for the channel's adapter to say.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit

from app.domain.address_rules import CONTROL_CHARACTER
from app.domain.chat_address import chat_problem
from app.domain.users import User

Problem = tuple[str, str]

MAX_ID: Final = 128
MAX_ADDRESS: Final = 2048
MAX_CHAT: Final = 3072  # sealed; as it is first given it is shorter
MAX_EMAIL: Final = 254  # RFC 5321, 4.5.3.1.3, less the angle brackets
MAX_LOCAL_PART: Final = 64  # RFC 5321, 4.5.3.1.1

_PHONE = re.compile(r"\+[1-9][0-9]{1,14}")  # ITU-T E.164: country code and number, 15 digits in all
LOCALE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,4}")
_TIMEZONE = re.compile(r"(?!(?:posix|right)/)[A-Z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*")
_ATOM = r"[^\s.@<>()\[\]\\,;:\"\x00-\x1f\x7f]+"
_LABEL = r"[^\W_](?:(?:[^\W_]|-){0,61}[^\W_])?"
_EMAIL = re.compile(rf"(?P<local>{_ATOM}(?:\.{_ATOM})*)@(?:{_LABEL}\.)+{_LABEL}")


def check_user(user: User) -> list[Problem]:
    """All that is wrong with the record, as (JSON pointer, detail); empty if it may be stored. Quotes no values."""
    return [*_check_id(user.id), *_check_contacts(user), *_check_locale(user.locale), *_check_timezone(user.timezone)]


def _check_id(user_id: str) -> Iterator[Problem]:
    if not 1 <= len(user_id) <= MAX_ID or CONTROL_CHARACTER.search(user_id):
        yield "/id", f"must have 1 to {MAX_ID} characters, none of them a control character"


def _check_contacts(user: User) -> Iterator[Problem]:
    for name in user.contacts.__struct_fields__:
        address = getattr(user.contacts, name)
        if address is None:
            continue
        longest = MAX_CHAT if name == "chat" else MAX_ADDRESS
        detail = _address_problem(address, longest) or _SHAPES.get(name, _any_shape)(address)
        if detail:
            yield f"/contacts/{name}", detail


def _address_problem(address: str, longest: int) -> str:
    if CONTROL_CHARACTER.search(address):
        return "must not contain control characters"
    if not 1 <= len(address) <= longest:
        return f"must have 1 to {longest} characters"
    return ""


def _email_shape(address: str) -> str:
    match = _EMAIL.fullmatch(address)
    if match is None or len(address) > MAX_EMAIL or len(match["local"]) > MAX_LOCAL_PART:
        return "must be an email address such as name@example.com"
    return ""


def _phone_shape(address: str) -> str:
    return "" if _PHONE.fullmatch(address) else "must be a number in E.164 form such as +4930123456"


def _webhook_shape(address: str) -> str:
    if not any(sign.isspace() for sign in address):
        try:
            url = urlsplit(address)
            if url.scheme in ("http", "https") and url.hostname and url.port != 0:
                return ""
        except ValueError:  # a port that is no number, a broken IPv6 address
            pass
    return "must be an http or https URL"


def _any_shape(_address: str) -> str:
    return ""


_SHAPES: Final[dict[str, Callable[[str], str]]] = {
    "email": _email_shape,
    "phone": _phone_shape,
    "webhook": _webhook_shape,
    "chat": chat_problem,
}


def _check_locale(locale: str) -> Iterator[Problem]:
    if not LOCALE.fullmatch(locale):
        yield "/locale", "must be a language tag such as en or pt-BR"


def _check_timezone(timezone: str) -> Iterator[Problem]:
    if not _TIMEZONE.fullmatch(timezone) or not _is_zone(timezone):
        yield "/timezone", "must be an IANA time zone such as Europe/Berlin"


def _is_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
