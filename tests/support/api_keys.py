"""The HTTP application asking for API keys, over the stores of `http_services`, and keys for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.domain.api_key import Scope, make_key, new_token
from app.domain.clock import now_ms
from app.domain.ports import ApiKeys
from app.domain.rate import parse_rate
from app.http.access import EXTENSION
from app.http.app import create_app
from app.http.services import Services

#: So seldom that a test sees no refresh but the first, and those it causes.
SELDOM_S = "30"


def add_key(store: ApiKeys, secret: bytes, *scopes: Scope, limit: str = "") -> str:
    """A fresh key with these scopes, as its holder has it."""
    token, rate = new_token(), parse_rate(limit) if limit else None
    store.add(make_key(token, name="test", scopes=scopes, limit=rate, secret=secret, now_ms=now_ms()))
    return token


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@dataclasses.dataclass(frozen=True)
class Keyed:
    """An application that asks for keys. `add` makes one."""

    services: Services
    client: FlaskClient

    def add(self, *scopes: Scope, limit: str = "") -> str:
        return add_key(self.services.api_keys, self.services.secret, *scopes, limit=limit)

    def ask(self, token: str | None, method: str, path: str, **options: Any) -> Any:
        return self.client.open(path, method=method, headers=bearer(token) if token else {}, **options)

    def close(self) -> None:
        self.client.application.extensions[EXTENSION].close()


def keyed_app(services: Services, *, refresh_s: str = SELDOM_S, **others: Any) -> Keyed:
    """The application of these services, some of them exchanged, with its own copy of the keys."""
    settings = dataclasses.replace(services.settings, http_auth="keys", keys_refresh_s=float(refresh_s))
    exchanged = dataclasses.replace(services, settings=settings, **others)
    return Keyed(exchanged, create_app(exchanged).test_client())


@pytest.fixture
def keyed(http_services: Services) -> Iterator[Keyed]:
    made = keyed_app(http_services)
    yield made
    made.close()
