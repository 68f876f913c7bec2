"""Messages of Amazon SNS to an HTTPS endpoint, believed by their signature alone.

https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

from __future__ import annotations

import re
import threading
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from msgspec import Struct

from app.domain.errors import StoreUnavailableError
from app.domain.report import InvalidSignatureError

NOTIFICATION: Final = "Notification"
SUBSCRIPTION: Final = "SubscriptionConfirmation"

_HOST: Final = re.compile(r"sns\.[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}\.amazonaws\.com(?:\.cn)?")
_CERTIFICATE: Final = re.compile(r"/[A-Za-z0-9_.-]+\.pem")
#: More than Amazon has at a time.
_KEYS: Final = 32
_SIGNED: Final[Mapping[str, tuple[str, ...]]] = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    SUBSCRIPTION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}

Fetch = Callable[[str], bytes]


class SnsMessage(Struct, frozen=True):
    """The document that is posted, by its own names; what it is not signed with is left out."""

    kind: str = msgspec.field(name="Type")
    id: str = msgspec.field(name="MessageId")
    topic_arn: str = msgspec.field(name="TopicArn")
    message: str = msgspec.field(name="Message")
    timestamp: str = msgspec.field(name="Timestamp")
    signature_version: str = msgspec.field(name="SignatureVersion")
    signature: str = msgspec.field(name="Signature")
    certificate_url: str = msgspec.field(name="SigningCertURL")
    subject: str | None = msgspec.field(name="Subject", default=None)
    token: str | None = msgspec.field(name="Token", default=None)
    subscribe_url: str | None = msgspec.field(name="SubscribeURL", default=None)


class SnsVerifier:
    """Checks signatures by Amazon's certificates, each fetched once. Threads may share it."""

    def __init__(self, fetch: Fetch) -> None:
        """`fetch` reads an https URL; it raises StoreUnavailableError."""
        self._fetch = fetch
        self._keys: dict[str, RSAPublicKey] = {}
        self._lock = threading.Lock()

    def check(self, message: SnsMessage) -> None:
        """Raises InvalidSignatureError, and StoreUnavailableError where the certificate cannot be had now."""
        names = _SIGNED.get(message.kind)
        if names is None:
            raise InvalidSignatureError("Type is none of SNS's")
        if message.signature_version not in ("1", "2"):
            raise InvalidSignatureError("SignatureVersion is neither 1 nor 2")
        # Version 1 is what a topic has unless told otherwise.
        digest = hashes.SHA256() if message.signature_version == "2" else hashes.SHA1()  # noqa: S303 - see above
        try:
            signature = b64decode(message.signature, validate=True)
            self._key(message.certificate_url).verify(signature, _said(message, names), PKCS1v15(), digest)
        except (InvalidSignature, ValueError) as error:
            raise InvalidSignatureError("Signature is not that of the message") from error

    def _key(self, url: str) -> RSAPublicKey:
        if not is_amazons(url) or not _CERTIFICATE.fullmatch(urlsplit(url).path):
            raise InvalidSignatureError("SigningCertURL is not a certificate at sns.<region>.amazonaws.com")
        with self._lock:
            known = self._keys.get(url)
        if known is not None:
            return known
        key = _read_key(self._fetch(url))
        with self._lock:
            if len(self._keys) >= _KEYS:
                self._keys.clear()
            self._keys[url] = key
        return key


def is_amazons(url: str) -> bool:
    """Whether it leads to SNS, by https, and nowhere else."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    # Of the whole place, so that neither a user nor a port stands in it.
    return parts.scheme == "https" and _HOST.fullmatch(parts.netloc) is not None and url.isascii()


def signed_text(fields: Mapping[str, str]) -> bytes:
    """What is signed: each name and value on a line of its own, in order of the names."""
    return "".join(f"{name}\n{fields[name]}\n" for name in sorted(fields)).encode()


def _said(message: SnsMessage, names: tuple[str, ...]) -> bytes:
    told = {field.encode_name: getattr(message, field.name) for field in msgspec.structs.fields(message)}
    return signed_text({name: told[name] for name in names if told[name] is not None})


def _read_key(pem: bytes) -> RSAPublicKey:
    try:
        key = x509.load_pem_x509_certificate(pem).public_key()
    except ValueError as error:
        # It is Amazon's, by its URL and TLS: somebody between us is in the way.
        raise StoreUnavailableError("SNS: its certificate cannot be read") from error
    if not isinstance(key, RSAPublicKey):
        raise StoreUnavailableError("SNS: its certificate has no RSA key")
    return key
