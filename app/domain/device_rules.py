"""What a device must look like before it is registered.

Shapes only: whether a token lives is for its push service to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from app.domain.address_rules import CONTROL_CHARACTER
from app.domain.device import Platform
from app.domain.simulator import is_test_address
from app.domain.user_rules import LOCALE
from app.domain.violation import Violation
from app.domain.web_subscription import read_subscription

#: FCM's are below 300 characters and may grow; a web push subscription is a URL and two keys.
MAX_TOKEN: Final = 4096
MAX_APP: Final = 64

_FCM = re.compile(r"[!-~]+")
#: The app is given bytes, of which there may be more one day: APNs takes them in hexadecimal digits.
_APNS = re.compile(r"(?:[0-9A-Fa-f]{2}){8,}")
#: Today's, by which an APNs token is told from FCM's.
_APNS_DIGITS = 64


def normal_token(platform: str, token: str) -> str:
    """The token in its one form: a device that is registered in another is no second one.

    Raises ValueError for what no token of the platform looks like; quotes nothing of it.
    """
    if not 1 <= len(token) <= MAX_TOKEN or CONTROL_CHARACTER.search(token):
        raise ValueError(f"must have 1 to {MAX_TOKEN} characters, none of them a control character")
    return token if is_test_address("push", token) else _NORMAL[platform](token)


def platform_of(token: str) -> Platform:
    """Whose token it looks like, where nobody says so: an address that came with an event, or is a contact."""
    if token.lstrip().startswith("{"):
        return "webpush"
    return "apns" if len(token) >= _APNS_DIGITS and _APNS.fullmatch(token) else "fcm"


def device_violations(platform: str, token: str, app: str, locale: str | None) -> Iterator[Violation]:
    """All that is wrong with it, by field; it may have no locale. Quotes no values."""
    try:
        normal_token(platform, token)
    except ValueError as error:
        yield Violation("/token", str(error))
    if len(app) > MAX_APP or CONTROL_CHARACTER.search(app):
        yield Violation("/app", f"must have at most {MAX_APP} characters, none of them a control character")
    if locale is not None and not LOCALE.fullmatch(locale):
        yield Violation("/locale", "must be a language tag such as en or pt-BR")


def _normal_fcm(token: str) -> str:
    if not _FCM.fullmatch(token):
        raise ValueError("has characters that no FCM registration token has")
    return token


def _normal_apns(token: str) -> str:
    if not _APNS.fullmatch(token):
        raise ValueError("is no APNs token, in hexadecimal digits")
    return token.lower()


def _normal_webpush(token: str) -> str:
    return read_subscription(token).text


_NORMAL: Mapping[str, Callable[[str], str]] = {
    "fcm": _normal_fcm,
    "apns": _normal_apns,
    "webpush": _normal_webpush,
}
