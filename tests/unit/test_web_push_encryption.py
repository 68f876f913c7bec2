"""Encryption for browsers: the standard's own example, and what VAPID tells."""

from __future__ import annotations

import base64
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from app.domain.errors import ConfigError
from infrastructure.channels import es256
from infrastructure.channels.vapid import Vapid, new_key_pair
from infrastructure.channels.web_push_encryption import encrypted, public_key

#: RFC 8291, section 5 and appendix A.
CONTENT = b"When I grow up, I want to be a watermelon"
P256DH = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
AUTH, SALT = "BTBZMqHH6r4Tts7J_aSIgg", "DGv6ra1nlYgDCS1FRnbzlw"
SENDER = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
BODY = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A"
    "_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_the_example_of_the_standard() -> None:
    body = encrypted(
        CONTENT, p256dh=decoded(P256DH), auth=decoded(AUTH), sender=es256.read_key(SENDER), salt=decoded(SALT)
    )
    assert es256.base64url(body) == BODY


def test_no_two_messages_are_alike() -> None:
    first, second = (encrypted(CONTENT, p256dh=decoded(P256DH), auth=decoded(AUTH)) for _ in range(2))
    assert first[:16] != second[:16], "the salt"
    assert first[21:86] != second[21:86], "the sender's key"


def test_what_is_no_point_of_the_curve_is_refused() -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the library's, whose words change
        public_key(b"\x04" + b"\x01" * 64)


# VAPID


class Clock:
    """Stands until it is set."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def parts_of(authorization: str) -> tuple[str, str]:
    """Token and key of the header."""
    scheme, _, fields = authorization.partition(" ")
    assert scheme == "vapid"
    token, key = fields.split(", ")
    return token.removeprefix("t="), key.removeprefix("k=")


def test_a_token_says_for_whom_it_is_until_when_and_who_sends() -> None:
    pair = new_key_pair()
    vapid = Vapid(pair.private, "mailto:ops@example.com")
    token, key = parts_of(vapid.authorization("https://push.example.com"))
    assert key == pair.public == vapid.public
    point = public_key(decoded(key))
    claims = jwt.decode(token, point, algorithms=["ES256"], audience="https://push.example.com")
    assert claims["sub"] == "mailto:ops@example.com"
    assert 11 * 3600 < claims["exp"] - time.time() <= 24 * 3600
    assert set(claims) == {"aud", "exp", "sub"}


def test_a_token_is_used_again_by_push_service_and_renewed_in_time() -> None:
    clock = Clock()
    vapid = Vapid(new_key_pair().private, "mailto:ops@example.com", monotonic=clock)
    first, other = vapid.authorization("https://one.example"), vapid.authorization("https://two.example")
    assert first != other
    clock.now_s += 5 * 3600
    assert vapid.authorization("https://one.example") == first
    clock.now_s += 2 * 3600
    assert vapid.authorization("https://one.example") != first


def test_what_anybody_may_name_does_not_fill_memory() -> None:
    vapid = Vapid(new_key_pair().private, "mailto:ops@example.com")
    for number in range(100):
        vapid.authorization(f"https://push-{number}.example")
    assert len(vapid._tokens) == 64


def test_keys_are_read_in_both_forms() -> None:
    pair = new_key_pair()
    key = es256.read_key(pair.private)
    raw = es256.base64url(key.private_numbers().private_value.to_bytes(32))
    assert {Vapid(form, "https://example.com").public for form in (pair.private, raw, f"{raw}=\n")} == {pair.public}


@pytest.mark.parametrize(
    "key",
    ["", "s3cret", "A" * 43, "A" * 44, es256.base64url(b"\xff" * 32), "-----BEGIN EC PRIVATE KEY-----\ns3cret"],
)
def test_a_key_that_cannot_sign_is_refused_and_not_quoted(key: str) -> None:
    with pytest.raises(ConfigError, match="private_key is no private key of P-256") as caught:
        Vapid(key, "mailto:ops@example.com")
    assert "s3cret" not in str(caught.value)


def test_a_key_of_another_curve_is_refused() -> None:
    with pytest.raises(ConfigError, match="P-256"):
        Vapid(es256.pem_of(ec.generate_private_key(ec.SECP384R1())), "mailto:ops@example.com")
