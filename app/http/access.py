"""Who may do what: every request brings an API key, which has the scope of the operation and requests left.

The scope is told beside each operation (`app.http.openapi`). What is not told there needs `admin`.
"""

from __future__ import annotations

import flask

from app.domain.api_key import ApiKey, Scope
from app.http.auth import caller_is
from app.http.key_ring import KeyRing
from app.http.openapi.document import OPERATIONS
from app.http.problems import FORBIDDEN, UNAUTHENTICATED, ProblemError
from app.http.request_limit import RequestLimit
from app.http.services import Services

CHALLENGE = "WWW-Authenticate"
#: How the key ring is found by tests.
EXTENSION = "notify-key-ring"

SCOPES: dict[tuple[str, str], Scope | None] = {(one.method, one.path): one.scope for one in OPERATIONS}


def install(app: flask.Flask, services: Services) -> None:
    """Ask every request for a key, if the settings say so; otherwise keys are not looked at."""
    if services.settings.http_auth != "keys":
        return
    ring = KeyRing(services.api_keys, services.secret, refresh_s=services.settings.keys_refresh_s)
    limit = RequestLimit(services.request_limits)
    app.extensions[EXTENSION] = ring
    ring.start()

    @app.before_request
    def check() -> None:
        if not needs_key():
            return
        key = presented_key(ring)
        scope = needed_scope()
        if not key.allows(scope):
            raise lacking(scope)
        limit.take(key)
        caller_is(key.id)

    app.after_request(limit.tell)


def needs_key() -> bool:
    """Whether the request is for an operation that is not open. No route, or a question about one: nothing is done."""
    rule = flask.request.url_rule
    return rule is not None and flask.request.method != "OPTIONS" and _scope_of(rule.rule) is not None


def needed_scope() -> Scope:
    """The scope that the request's operation needs."""
    rule = flask.request.url_rule
    return (_scope_of(rule.rule) if rule else None) or Scope.ADMIN


def presented_key(ring: KeyRing) -> ApiKey:
    """The key that the request brings. Raises ProblemError (401), StoreUnavailableError."""
    given = flask.request.authorization
    if given is None or given.type != "bearer" or not given.token:
        raise ProblemError(UNAUTHENTICATED.problem("Send `Authorization: Bearer <key>`."), {CHALLENGE: "Bearer"})
    key = ring.find(given.token)
    if key is None:
        raise ProblemError(
            UNAUTHENTICATED.problem("The key is not known, or revoked."), {CHALLENGE: 'Bearer error="invalid_token"'}
        )
    return key


def lacking(scope: Scope) -> ProblemError:
    """The problem of a key without the scope (RFC 6750, insufficient_scope)."""
    challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
    return ProblemError(FORBIDDEN.problem(f"The key has not the scope `{scope}`."), {CHALLENGE: challenge})


def _scope_of(rule: str) -> Scope | None:
    method = "GET" if flask.request.method == "HEAD" else flask.request.method
    return SCOPES.get((method, rule), Scope.ADMIN)
