"""How a text is sent as SMS: its alphabet, and where it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.sms_segments import Segments, said, segments_of

#: As TS 23.038 has them, in the order of their codes; 0x1B is the escape.
BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENDED = "\f^{}\\[~]|€"
SMILE = "\N{GRINNING FACE}"


def counts(text: str) -> tuple[str, int, int]:
    found = segments_of(text)
    assert found.characters == len(text)
    return found.encoding, found.units, found.segments


def test_the_alphabet_is_whole() -> None:
    assert len(BASIC) == 128
    assert counts(BASIC.replace("\x1b", "")) == ("GSM-7", 127, 1)
    assert counts(EXTENDED) == ("GSM-7", 20, 1)


@pytest.mark.parametrize(
    "other", ["ç", "`", "\N{RIGHT SINGLE QUOTATION MARK}", "\N{EN DASH}", "\t", "á", "\x1b", "я", "\u00a0"]
)
def test_one_character_of_no_alphabet_makes_all_of_it_ucs_2(other: str) -> None:
    assert counts("a" * 69 + other) == ("UCS-2", 70, 1)
    assert counts("a" * 70 + other) == ("UCS-2", 71, 2)


@pytest.mark.parametrize(
    ("text", "units", "segments"),
    [
        ("", 0, 1),
        ("a" * 160, 160, 1),
        ("a" * 161, 161, 2),
        ("a" * 306, 306, 2),
        ("a" * 307, 307, 3),
        ("€" * 80, 160, 1),
        ("a" + "€" * 80, 161, 2),
        ("a" * 152 + "€" + "a" * 6, 160, 1),
        ("a" * 152 + "€" + "a" * 151, 305, 2),
        ("a" * 152 + "€" + "a" * 152, 306, 3),  # the escape is not left behind: 152, 153, 1
        ("€" * 153, 306, 3),  # 76 each, and one more
    ],
)
def test_gsm_7_is_cut_at_153_and_never_in_a_pair(text: str, units: int, segments: int) -> None:
    assert counts(text) == ("GSM-7", units, segments)


@pytest.mark.parametrize(
    ("text", "units", "segments"),
    [
        ("я" * 70, 70, 1),
        ("я" * 71, 71, 2),
        ("я" * 134, 134, 2),
        ("я" * 135, 135, 3),
        (SMILE * 35, 70, 1),
        (SMILE * 36, 72, 2),
        (SMILE * 67, 134, 3),  # 33 each, and one more
        ("я" * 66 + SMILE + "я" * 66, 134, 3),
    ],
)
def test_ucs_2_is_cut_at_67_units_and_never_in_a_surrogate_pair(text: str, units: int, segments: int) -> None:
    assert counts(text) == ("UCS-2", units, segments)
    assert units == len(text.encode("utf-16-be")) // 2


@given(st.text(st.sampled_from("aé€[|яx" + SMILE), max_size=400))
def test_no_more_segments_than_it_takes_and_no_fewer(text: str) -> None:
    found = segments_of(text)
    alone, each = (160, 153) if found.encoding == "GSM-7" else (70, 67)
    assert (found.segments == 1) == (found.units <= alone)
    if found.segments > 1:
        assert -(-found.units // each) <= found.segments <= -(-found.units // (each - 1))


def test_it_says_the_text_else_the_subject() -> None:
    assert (said(" a\n", "b"), said("", "b ")) == ("a", "b")
    assert segments_of("a") == Segments(encoding="GSM-7", characters=1, units=1, segments=1)
