"""Signature Version 4 against what AWS publishes: its signing test suite, and the example of its documentation."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from infrastructure.channels.aws_signature import AwsSigner

AT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
#: The credentials of all that AWS publishes on this.
KEY_ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
HOST = {"Host": "example.amazonaws.com"}
ALPHABET = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwth"
    "Ax7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9"
    "q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)
FORM_SHA = "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"


def signer(service: str = "service", token: str = "") -> AwsSigner:
    return AwsSigner(
        region="us-east-1", service=service, access_key_id=KEY_ID, secret_access_key=SECRET, session_token=token
    )


#: name in https://github.com/awslabs/aws-c-auth/tree/main/tests/aws-signing-test-suite/v4: request, signature
SUITE = {
    "get-vanilla": ("GET", "/", {}, b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    "post-vanilla": ("POST", "/", {}, b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    "post-vanilla-query": (
        *("POST", "/?Param1=value1", {}, b""),
        "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
    ),
    "get-vanilla-query-order-key-case": (
        *("GET", "/?Param2=value2&Param1=value1", {}, b""),
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    "get-vanilla-query-unreserved": (
        *("GET", f"/?{ALPHABET}={ALPHABET}", {}, b""),
        "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
    ),
    "get-utf8": ("GET", "/ሴ", {}, b"", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
    "get-header-value-trim": (
        *("GET", "/", {"My-Header1": " value1", "My-Header2": ' "a   b   c"'}, b""),
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    "post-header-key-sort": (
        *("POST", "/", {"My-Header1": "value1"}, b""),
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
    ),
    "post-x-www-form-urlencoded": (
        *("POST", "/"),
        {
            "Content-Type": "application/x-www-form-urlencoded",
            "Content-Length": "13",
            "X-Amz-Content-Sha256": FORM_SHA,
        },
        *(b"Param1=value1", "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"),
    ),
}


@pytest.mark.parametrize("name", SUITE)
def test_the_suite_of_aws(name: str) -> None:
    method, path, headers, body, signature = SUITE[name]
    signed = signer().signed(method, path, HOST | headers, body, AT)
    assert signed["Authorization"].endswith(f", Signature={signature}")
    assert signed["X-Amz-Date"] == "20150830T123600Z"


def test_a_session_token_is_sent_and_signed() -> None:
    """post-sts-header-before of the suite."""
    signed = signer(token=TOKEN).signed("POST", "/", HOST, b"", AT)
    assert signed["X-Amz-Security-Token"] == TOKEN
    assert signed["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=host;x-amz-date;x-amz-security-token, "
        "Signature=85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"
    )


def test_the_example_of_the_documentation() -> None:
    """IAM's ListUsers, the complete example of the AWS General Reference."""
    headers = {
        "Host": "iam.amazonaws.com",
        "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
    }
    signed = signer("iam").signed("GET", "/?Action=ListUsers&Version=2010-05-08", headers, b"", AT)
    assert signed["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    )


def test_what_is_given_stays_as_it_is() -> None:
    given = HOST | {"Content-Type": "application/json"}
    assert signer().signed("POST", "/", given, b"{}", AT).items() >= given.items()
