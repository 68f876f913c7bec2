"""Providers that report, and what they post: signed as they sign, by keys of these tests."""

from __future__ import annotations

import base64
import dataclasses
import functools
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.x509.oid import NameOID

from app.domain.clock import now_ms
from app.settings import Settings
from infrastructure.channels.sns import signed_text
from infrastructure.channels.twilio_receipts import twilio_signature
from infrastructure.channels.webhook_signature import WebhookSigner

TWILIO, SES, RESEND, GATEWAY = "sms-1", "ses-1", "resend-1", "gateway-1"
TOKEN, SIGNING_SECRET = "twilio-t0ken", "whsec_" + base64.b64encode(b"a secret of Resend's").decode()
TOPIC = "arn:aws:sns:eu-west-1:123456789012:notify-events"
ROOT = "https://sns.eu-west-1.amazonaws.com"
CERTIFICATE_URL = f"{ROOT}/SimpleNotificationService-0a1b2c.pem"
SUBSCRIBE_URL = f"{ROOT}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37"
FORM = "application/x-www-form-urlencoded"
FILE = f"""
[[provider]]
kind = "twilio"
name = "{TWILIO}"
account_sid = "AC{"0a" * 16}"
auth_token = "{TOKEN}"
sender = "+15005550006"

[[provider]]
kind = "ses"
name = "{SES}"
region = "eu-west-1"
access_key_id = "AKIDEXAMPLE"
secret_access_key = "s3cret"
topic_arn = "{TOPIC}"

[[provider]]
kind = "resend"
name = "{RESEND}"
api_key = "re_s3cret"
signing_secret = "{SIGNING_SECRET}"

[[provider]]
kind = "http_sms"
name = "{GATEWAY}"
url = "https://sms.example.com/send"
fields = {{ to = "{{to}}" }}
"""


class Posted(NamedTuple):
    """A request of a provider."""

    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def options(self) -> dict[str, Any]:
        """For Flask's client."""
        headers = {name: value for name, value in self.headers.items() if name != "Content-Type"}
        given = {"headers": headers, "content_type": self.headers["Content-Type"], "data": self.body}
        return given | {"query_string": dict(parse_qsl(self.query))}


def reporting_settings(settings: Settings, folder: Path) -> Settings:
    """With a file of providers of each kind."""
    path = folder / "reporting.toml"
    path.write_text(FILE)
    return dataclasses.replace(settings, providers=path)


def path_of(provider: str) -> str:
    return f"/api/v1/receipts/{provider}"


def ids(delivery_id: str, notification_id: str) -> dict[str, str]:
    return {"delivery_id": delivery_id, "notification_id": notification_id}


# Twilio


def twilio(
    fields: Mapping[str, str], query: Mapping[str, str] | None = None, *, token: str = TOKEN, fragment: str = ""
) -> Posted:
    """A form, signed for the public URL that is the default."""
    path, asked = path_of(TWILIO), urlencode(query or {})
    url = f"{Settings().public_url}{path}" + (f"?{asked}" if asked else "") + fragment
    signature = twilio_signature(token, url, list(fields.items()))
    return Posted(path, asked, {"X-Twilio-Signature": signature, "Content-Type": FORM}, urlencode(fields).encode())


def twilio_status(status: str, carried: Mapping[str, str], *, to: str = "+442071838750", code: str = "") -> Posted:
    """A status callback."""
    fields = {"MessageSid": "SM" + "1b" * 16, "SmsStatus": status, "MessageStatus": status, "To": to}
    fields |= {"From": "+15005550006", "AccountSid": "AC" + "0a" * 16} | ({"ErrorCode": code} if code else {})
    return twilio(fields, carried)


def twilio_reply(text: str, *, sender: str = "+442071838750", **given: str) -> Posted:
    """A message that came in."""
    fields = {"MessageSid": "SM" + "2c" * 16, "SmsStatus": "received", "From": sender, "To": "+15005550006"}
    return twilio(fields | {"Body": text, "NumMedia": "0"} | given)


# Resend


def resend(event: Any, *, secret: str = SIGNING_SECRET, at_s: int = 0) -> Posted:
    """An event, signed as Svix does."""
    body = json.dumps(event).encode()
    made = WebhookSigner(secret).headers("msg_2b", at_s or now_ms() // 1000, body)
    headers = {name.replace("webhook-", "svix-"): value for name, value in made.items()}
    return Posted(path_of(RESEND), "", headers | {"Content-Type": "application/json"}, body)


def resend_event(kind: str, carried: Mapping[str, str], *, at: str = "", **data: Any) -> dict[str, Any]:
    """An event as it is documented."""
    mail = {
        "broadcast_id": None,
        "created_at": "2026-11-22T23:41:11.894719+00:00",
        "email_id": "56761188-7520-42d8-8898-ff6fc54ce618",
        "from": "Acme <onboarding@resend.dev>",
        "to": ["anna@example.com"],
        "subject": "Sending this example",
        "tags": dict(carried),
    }
    return {"type": kind, "created_at": at or "2026-11-22T23:41:12.126Z", "data": mail | data}


# Amazon SES by SNS


@functools.cache
def _key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


@functools.cache
def certificate() -> bytes:
    """What stands at the certificate's URL."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    begins = datetime.now(UTC) - timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(_key().public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(begins)
    made = builder.not_valid_after(begins + timedelta(days=9)).sign(_key(), hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


def sns_page(url: str) -> bytes:
    """What SNS answers to a GET."""
    return certificate() if url.endswith(".pem") else b"<ConfirmSubscriptionResponse/>"


def sns_document(message: str, *, kind: str = "Notification", version: str = "1", **given: str) -> dict[str, str]:
    """The document that SNS posts, with its signature."""
    said = {
        "Type": kind,
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPIC,
        "Message": message,
        "Timestamp": "2026-11-22T23:41:12.126Z",
    } | given
    digest = hashes.SHA256() if version == "2" else hashes.SHA1()  # noqa: S303 - what topics have
    signature = base64.b64encode(_key().sign(signed_text(said), PKCS1v15(), digest)).decode()
    further = {"SignatureVersion": version, "Signature": signature, "SigningCertURL": CERTIFICATE_URL}
    return said | further | ({"UnsubscribeURL": f"{ROOT}/?Action=Unsubscribe"} if kind == "Notification" else {})


def sns(document: Mapping[str, str]) -> Posted:
    """The document as it is posted."""
    return Posted(path_of(SES), "", {"Content-Type": "text/plain; charset=UTF-8"}, json.dumps(document).encode())


def ses(event: Any, **given: str) -> Posted:
    """An event of SES."""
    return sns(sns_document(json.dumps(event), **given))


def subscription(**given: str) -> Posted:
    """What SNS asks before it posts anything else."""
    asked = {"SubscribeURL": SUBSCRIBE_URL, "Token": "2336412f37"} | given
    return sns(sns_document("You have chosen to subscribe ...", kind="SubscriptionConfirmation", **asked))


def ses_event(kind: str, carried: Mapping[str, str], about: Mapping[str, Any], *, to: str = "anna@example.com") -> Any:
    """An event as it is documented: `about` is what stands under its kind."""
    mail = {
        "timestamp": "2026-11-22T23:41:11.012Z",
        "source": "Sender Name <sender@example.com>",
        "sendingAccountId": "123456789012",
        "messageId": "EXAMPLE7c191be45-e9aedb9a-02f9-4d12-a87d-dd0099a07f8a-000000",
        "destination": [to],
        "headersTruncated": False,
        "headers": [{"name": "To", "value": to}],
        "tags": {"ses:configuration-set": ["notify"]} | {name: [value] for name, value in carried.items()},
    }
    return {"eventType": kind, kind.lower(): dict(about), "mail": mail}


def ses_bounce(
    carried: Mapping[str, str], *, kind: str = "Permanent", subtype: str = "General", to: str = "anna@example.com"
) -> Any:
    """A bounce."""
    recipient = {"emailAddress": to, "action": "failed", "status": "5.1.1", "diagnosticCode": f"smtp; 550 <{to}>"}
    about = {"bounceType": kind, "bounceSubType": subtype, "bouncedRecipients": [recipient]}
    return ses_event("Bounce", carried, about | {"timestamp": "2026-11-22T23:41:12.669Z"}, to=to)


def ses_complaint(carried: Mapping[str, str], *, kind: str | None = "abuse", to: str = "anna@example.com") -> Any:
    """A complaint."""
    about = {"complainedRecipients": [{"emailAddress": to}], "complaintFeedbackType": kind}
    return ses_event("Complaint", carried, about | {"timestamp": "2026-11-23T00:41:12.669Z"}, to=to)


def ses_delivery(carried: Mapping[str, str], *, to: str = "anna@example.com") -> Any:
    """A delivery."""
    about = {"timestamp": "2026-11-22T23:41:12.202Z", "processingTimeMillis": 1190, "recipients": [to]}
    return ses_event("Delivery", carried, about, to=to)
