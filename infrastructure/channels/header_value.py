"""The rule for everything that becomes a header's value."""

from __future__ import annotations

import re

from app.domain.errors import PermanentError
from app.domain.outcome import Reason

# CR, LF, NUL and all else that `str.splitlines`, which the email package folds by, takes for the end of a line
_FORBIDDEN = re.compile("[\0\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


def header_value(value: str, name: str) -> str:
    """The value as it is. Raises PermanentError (invalid_content) where it could end its line."""
    if _FORBIDDEN.search(value):
        raise PermanentError(Reason.INVALID_CONTENT, f"line break or NUL in {name}")
    return value
