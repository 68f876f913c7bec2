"""Push subscriptions of browsers: what is one, and that each has one form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.domain.device_rules import normal_token, platform_of
from app.domain.web_subscription import read_subscription

P256DH = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
ENDPOINT = "https://push.example.com/send/s3cret"


def subscription(endpoint: Any = ENDPOINT, p256dh: Any = P256DH, auth: Any = AUTH, **more: Any) -> str:
    return json.dumps({"endpoint": endpoint, "keys": {"p256dh": p256dh, "auth": auth}} | more)


def test_what_a_browser_gives_is_read() -> None:
    found = read_subscription(subscription(expirationTime=None))
    assert (found.endpoint, len(found.p256dh), len(found.auth)) == (ENDPOINT, 65, 16)


@pytest.mark.parametrize(
    "same",
    [
        subscription(expirationTime=None),
        subscription(p256dh=P256DH + "=", auth=AUTH + "=="),
        json.dumps({"keys": {"auth": AUTH, "p256dh": P256DH}, "endpoint": ENDPOINT}, indent=1).replace("\n", ""),
        subscription(p256dh=P256DH.replace("_", "/").replace("-", "+")),
    ],
    ids=["more in it", "padded", "another order", "plain base64"],
)
def test_the_same_subscription_has_one_form(same: str) -> None:
    normal = normal_token("webpush", subscription())
    assert normal_token("webpush", same) == normal
    assert normal_token("webpush", normal) == normal
    assert " " not in normal


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("s3cret", "is no subscription"),
        ("[]", "is no subscription"),
        ('{"endpoint": "https://x.example"}', "is no subscription"),
        ("[" * 4000, "is no subscription"),
        (subscription(endpoint=7), "is no subscription"),
        (subscription(endpoint="http://push.example.com/s3cret"), "https"),
        (subscription(endpoint="https://"), "https"),
        (subscription(endpoint="s3cret"), "https"),
        (subscription(endpoint="https://user:s3cret@push.example.com/"), "without a user"),
        (subscription(endpoint="https://push.example.com:0/"), "https"),
        (subscription(endpoint="https://push.example.com:s3cret/"), "https"),
        (subscription(endpoint="https://push.example.com/a b"), "https"),
        (subscription(endpoint="https://püsh.example.com/"), "https"),
        (subscription(p256dh=P256DH[:-2]), "p256dh of 65 bytes"),
        (subscription(p256dh="A" + P256DH[1:]), "p256dh of 65 bytes"),
        (subscription(p256dh=""), "p256dh of 65 bytes"),
        (subscription(p256dh="s3cret!"), "p256dh of 65 bytes"),
        (subscription(auth=AUTH + "AA"), "auth of 16 bytes"),
        (subscription(auth="ü"), "auth of 16 bytes"),
    ],
)
def test_what_is_none_is_told_and_not_quoted(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        read_subscription(text)
    assert "s3cret" not in str(caught.value)


def test_an_apns_token_has_one_form_in_either_case() -> None:
    assert normal_token("apns", "0F" * 32) == normal_token("apns", "0f" * 32) == "0f" * 32


@pytest.mark.parametrize(
    ("token", "platform"),
    [
        (subscription(), "webpush"),
        ("0f" * 32, "apns"),
        ("0F" * 50, "apns"),
        ("0f" * 16, "fcm"),
        ("eXampLe:APA91b-token_of-a-phone", "fcm"),
        ("given", "fcm"),
    ],
)
def test_whose_a_token_is_can_be_told_by_its_looks(token: str, platform: str) -> None:
    assert platform_of(token) == platform
