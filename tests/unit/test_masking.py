"""Addresses are told apart and never told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.masking import masked

P256DH = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
KEYS = f'{{"auth": "BTBZMqHH6r4Tts7J_aSIgg", "p256dh": "{P256DH}"}}'
SUBSCRIPTION = f'{{"endpoint": "https://push.example/secret", "keys": {KEYS}}}'


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("anna@example.com", "a***@example.com"),
        ("a@example.com", "a***@example.com"),
        ('"a@b"@example.com', '"***@example.com'),
        ("+4930123456", "***56"),
        ("+4930", "+***"),
        ("https://hooks.example/services/T0/secret?key=1", "https://hooks.example/***"),
        ("https://user:secret@hooks.example:8443/a", "https://hooks.example/***"),
        ("http://[::1]:80/a", "http://[::1]/***"),
        ("https://[broken", "***"),
        ("https:///nothing", "***"),
        ("https://hooks.example\\@evil.example/secret", "https://evil.example/***"),
        ("slack://T0123/B0123/secret", "slack://***"),
        ("Tgram://123456789:secret/-100123", "tgram://***"),
        ("sealed:slack:c2VjcmV0", "slack://***"),
        ("sealed:", "***"),
        ("a b://secret", "***"),
        ("fcm-token-0123456789", "f***"),
        (SUBSCRIPTION, "https://push.example/***"),
        ('{"endpoint": "https://push.example/secret"}', "***"),
        ("abc", "***"),
        ("", "***"),
    ],
)
def test_each_kind_is_cut_down(address: str, shown: str) -> None:
    assert masked(address) == shown


@given(
    form=st.sampled_from(
        [
            "{}",
            "{}@example.com",
            "https://h.example/{}",
            "https://h.example:81?{}",
            "https://{}@h.example/",
            "tgram://{}/{}",
            "sealed:slack:{}",
            "+{}",
            "x@{}@h",
        ]
    ),
    secret=st.text("0123456789abc", min_size=3),
)
def test_what_could_be_used_is_not_shown(form: str, secret: str) -> None:
    assert secret not in masked(form.replace("{}", secret))
