"""What AWS does with a signed request: take it apart and sign it again. Independent of what the service signs by."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime

from tests.support.webhook_receiver import Request

#: AWS refuses what is older, seconds.
LIFE_S = 300.0


def fault(request: Request, secret: str, credential_scope: str) -> str:
    """Why AWS would refuse the POST; empty where it would not. The scope is `key id/*/region/service/aws4_request`."""
    algorithm, _, rest = request.headers.get("authorization", "").partition(" ")
    fields = dict(field.split("=", 1) for field in rest.split(", "))
    key_id, day, region, service, end = fields["Credential"].split("/")
    if algorithm != "AWS4-HMAC-SHA256" or f"{key_id}/*/{region}/{service}/{end}" != credential_scope:
        return "UnrecognizedClientException"
    time = request.headers["x-amz-date"]
    age_s = (datetime.now(UTC) - datetime.strptime(time, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)).total_seconds()
    if not time.startswith(day) or abs(age_s) > LIFE_S:
        return "RequestExpired"
    names = fields["SignedHeaders"].split(";")
    if names != sorted(names) or not {"host", "content-type", "x-amz-date"} <= set(names):
        return "IncompleteSignature"
    lines = "".join(f"{name}:{request.headers[name]}\n" for name in names)
    canonical = (
        f"POST\n{request.path}\n\n{lines}\n{fields['SignedHeaders']}\n{hashlib.sha256(request.body).hexdigest()}"
    )
    to_sign = (
        f"AWS4-HMAC-SHA256\n{time}\n{day}/{region}/{service}/{end}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    )
    key = hmac.new(b"AWS4" + secret.encode(), day.encode(), hashlib.sha256).digest()
    key = hmac.new(key, region.encode(), hashlib.sha256).digest()
    key = hmac.new(key, service.encode(), hashlib.sha256).digest()
    key = hmac.new(key, b"aws4_request", hashlib.sha256).digest()
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    return "" if hmac.compare_digest(signature, fields["Signature"]) else "InvalidSignatureException"
