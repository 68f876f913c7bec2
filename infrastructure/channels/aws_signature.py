"""Signature Version 4, by which AWS knows who sends a request.

As https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html has it for services other
than S3: a path is encoded once more than it is on the wire.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import parse_qsl, quote

from msgspec import Struct

_ALGORITHM = "AWS4-HMAC-SHA256"
_DIGEST = "sha256"
_SPACES = re.compile(r"\s+")


class AwsSigner(Struct, frozen=True, kw_only=True):
    """Signs requests to one service of one region. `session_token` comes with credentials that expire."""

    region: str
    service: str
    access_key_id: str
    secret_access_key: str
    session_token: str = ""

    def signed(self, method: str, path: str, headers: Mapping[str, str], body: bytes, at: datetime) -> dict[str, str]:
        """The headers, which have Host among them, with those that sign them all.

        `path` is as it is sent, with its query; `at` is aware, and is refused by AWS where it is 5 minutes off.
        """
        time = at.strftime("%Y%m%dT%H%M%SZ")
        given = dict(headers) | {"X-Amz-Date": time}
        if self.session_token:
            given["X-Amz-Security-Token"] = self.session_token
        canonical = {name.lower(): _SPACES.sub(" ", value.strip()) for name, value in _by_name(given)}
        names = ";".join(canonical)
        plain_path, _, query = path.partition("?")
        request = "\n".join(
            [
                method,
                quote(plain_path, safe="/-_.~"),
                _canonical_query(query),
                *(f"{name}:{value}" for name, value in canonical.items()),
                "",
                names,
                hashlib.sha256(body).hexdigest(),
            ]
        )
        scope = f"{time[:8]}/{self.region}/{self.service}/aws4_request"
        to_sign = "\n".join([_ALGORITHM, time, scope, hashlib.sha256(request.encode()).hexdigest()])
        signature = hmac.digest(self._key(time[:8]), to_sign.encode(), _DIGEST).hex()
        credential = f"Credential={self.access_key_id}/{scope}"
        return given | {"Authorization": f"{_ALGORITHM} {credential}, SignedHeaders={names}, Signature={signature}"}

    def _key(self, day: str) -> bytes:
        key = f"AWS4{self.secret_access_key}".encode()
        for part in (day, self.region, self.service, "aws4_request"):
            key = hmac.digest(key, part.encode(), _DIGEST)
        return key


def _by_name(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """By name in lower case, as they are signed."""
    return sorted(headers.items(), key=lambda header: header[0].lower())


def _canonical_query(query: str) -> str:
    pairs = parse_qsl(query, keep_blank_values=True)
    return "&".join(sorted(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs))
