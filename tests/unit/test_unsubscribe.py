"""Links that turn a category off: ours are known, whatever was altered is not."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.unsubscribe import NO_LINKS, Unsubscribed, UnsubscribeLinks
from infrastructure.channels.email_message import build_email
from tests.support.messages import message

ROOT = "https://notify.example.com"
LINKS = UnsubscribeLinks(b"a secret", ROOT)


def token(link: str) -> str:
    assert link.startswith(f"{ROOT}/unsubscribe/")
    return link.removeprefix(f"{ROOT}/unsubscribe/")


@given(st.text(max_size=64), st.text(max_size=32))
def test_a_link_says_what_it_was_made_of(user_id: str, category: str) -> None:
    link = LINKS.link(user_id, category)
    assert LINKS.read(token(link)) == Unsubscribed(user_id, category)
    assert link == LINKS.link(user_id, category)


def test_each_letter_counts() -> None:
    good = token(LINKS.link("user-001", "marketing"))
    for place, letter in enumerate(good):
        for other in "Aa0_":
            altered = good[:place] + other + good[place + 1 :]
            assert LINKS.read(altered) is None or other == letter
    for altered in (good[:-1], good + "A", good + "=", good + "\n", f" {good}", good[1:], good * 2):
        assert LINKS.read(altered) is None


@given(st.text(max_size=80))
def test_what_is_no_link_is_none(token: str) -> None:
    assert LINKS.read(token) is None


def test_a_link_of_another_secret_is_none() -> None:
    assert LINKS.read(token(UnsubscribeLinks(b"another", ROOT).link("user-001", "marketing"))) is None


def test_a_signature_for_another_purpose_is_none() -> None:
    said = b'["user-001","marketing"]'
    mac = hmac.digest(b"a secret", said, "sha256")[:16]
    assert LINKS.read(urlsafe_b64encode(mac + said).rstrip(b"=").decode()) is None


@pytest.mark.parametrize("public_url", ["", "http://127.0.0.1:8080", "http://notify.example.com"])
def test_without_https_there_is_no_link(public_url: str) -> None:
    assert UnsubscribeLinks(b"a secret", public_url).link("user-001", "marketing") == ""
    assert NO_LINKS.link("user-001", "marketing") == ""


def test_a_link_too_long_for_a_header_is_none() -> None:
    assert LINKS.link("ü" * 512, "marketing") == ""


@pytest.mark.parametrize("user_id", ["u", "user-001" * 12, "ü" * 128])
def test_a_mail_has_it_in_one_piece(user_id: str) -> None:
    link = LINKS.link(user_id, "marketing")
    raw = build_email(message(unsubscribe_url=link), "Notify <notify@localhost>", "localhost")
    assert f"\r\nList-Unsubscribe: <{link}>\r\n".encode() in raw
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    mail = message_from_bytes(raw, policy=policy.default)
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert (mail["Subject"], mail["Auto-Submitted"]) == ("A new device", "auto-generated")


def test_a_mail_without_a_link_has_neither_header() -> None:
    assert b"List-Unsubscribe" not in build_email(message(), "Notify <notify@localhost>", "localhost")
