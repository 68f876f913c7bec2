"""What a device must look like before it is registered.

Shapes only: whether a token lives is for its push service to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from app.domain.address_rules import CONTROL_CHARACTER
from app.domain.simulator import is_test_address
from app.domain.user_rules import LOCALE
from app.domain.violation import Violation

#: FCM's are below 300 characters and may grow; a web push subscription is a URL and two keys.
MAX_TOKEN: Final = 4096
MAX_APP: Final = 64

_TOKEN = {
    "fcm": (re.compile(r"[!-~]+"), "has characters that no FCM registration token has"),
    # UNUserNotificationCenter gives bytes, of which there may be more one day: APNs takes them in hexadecimal digits.
    "apns": (re.compile(r"(?:[0-9A-Fa-f]{2}){8,}"), "is no APNs token, in hexadecimal digits"),
}


def device_violations(platform: str, token: str, app: str, locale: str | None) -> Iterator[Violation]:
    """All that is wrong with it, by field; it may have no locale. Quotes no values."""
    if not 1 <= len(token) <= MAX_TOKEN or CONTROL_CHARACTER.search(token):
        yield Violation("/token", f"must have 1 to {MAX_TOKEN} characters, none of them a control character")
    elif platform in _TOKEN and not _TOKEN[platform][0].fullmatch(token) and not is_test_address("push", token):
        yield Violation("/token", _TOKEN[platform][1])
    if len(app) > MAX_APP or CONTROL_CHARACTER.search(app):
        yield Violation("/app", f"must have at most {MAX_APP} characters, none of them a control character")
    if locale is not None and not LOCALE.fullmatch(locale):
        yield Violation("/locale", "must be a language tag such as en or pt-BR")
