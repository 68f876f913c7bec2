"""What an SMS says, and the segments it is sent and paid as (3GPP TS 23.038: alphabets, TS 23.040: joining).

A text of nothing but the GSM-7 alphabet has 160 septets in one segment; one that is cut has 153 in each, for a header
joins them. Any other character makes the whole text UCS-2: 70 UTF-16 units, or 67 each. A character of two septets or
two units is never cut in the middle, so that a segment may be one short.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct

Encoding = Literal["GSM-7", "UCS-2"]

_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
#: Written with an escape before them, as two septets.
_EXTENDED: Final = frozenset("\f^{}\\[~]|€")
#: Units in one segment, and in each of several.
_ROOM: Final[dict[Encoding, tuple[int, int]]] = {"GSM-7": (160, 153), "UCS-2": (70, 67)}
_LAST_OF_ONE_UNIT: Final = "\uffff"


class Segments(Struct, frozen=True, kw_only=True):
    """How a text is sent. `units` are septets of GSM-7 or UTF-16 units of UCS-2, `characters` those of Unicode."""

    encoding: Encoding
    characters: int
    units: int
    segments: int


def said(text: str, subject: str) -> str:
    """What an SMS says of a rendered message: the text, or the subject where there is none."""
    return (text or subject).strip()


def segments_of(text: str) -> Segments:
    """How this text is sent; an empty one is one segment, too."""
    encoding: Encoding = "GSM-7" if set(text) <= _BASIC | _EXTENDED else "UCS-2"
    widths = [_width(one, encoding) for one in text]
    alone, each = _ROOM[encoding]
    number = 1 if sum(widths) <= alone else _filled(widths, each)
    return Segments(encoding=encoding, characters=len(text), units=sum(widths), segments=number)


def _width(character: str, encoding: Encoding) -> int:
    if encoding == "GSM-7":
        return 2 if character in _EXTENDED else 1
    return 2 if character > _LAST_OF_ONE_UNIT else 1


def _filled(widths: Iterable[int], each: int) -> int:
    """How many segments are filled one after the other, without cutting a character."""
    number, left = 0, 0
    for width in widths:
        if width > left:
            number, left = number + 1, each
        left -= width
    return number
