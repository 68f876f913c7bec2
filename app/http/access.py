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

REALM = "notify"
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
        scope = needed_scope()
        if scope is None:
            return
        key = presented_key(ring)
        if not key.allows(scope):
            raise lacking(scope)
        limit.take(key)
        caller_is(key.id)

    app.after_request(limit.tell)


def needed_scope() -> Scope | None:
    """The scope that the request's operation needs; None where it is open.

    Open is also what does nothing: a path that leads nowhere, and the question which methods one has.
    """
    rule, method = flask.request.url_rule, flask.request.method
    if rule is None or method == "OPTIONS":
        return None
    return SCOPES.get(("GET" if method == "HEAD" else method, rule.rule), Scope.ADMIN)


def presented_key(ring: KeyRing) -> ApiKey:
    """The key that the request brings. Raises ProblemError (401), StoreUnavailableError."""
    given = flask.request.authorization
    if given is None or given.type != "bearer" or not given.token:
        raise ProblemError(UNAUTHENTICATED.problem("Send `Authorization: Bearer <key>`."), challenge())
    key = ring.find(given.token)
    if key is None:
        raise ProblemError(UNAUTHENTICATED.problem("It is not known, or revoked."), challenge(error="invalid_token"))
    return key


def lacking(scope: Scope) -> ProblemError:
    """The problem of a key without the scope."""
    headers = challenge(error="insufficient_scope", scope=scope)
    return ProblemError(FORBIDDEN.problem(f"It has not the scope `{scope}`."), headers)


def challenge(**told: str) -> dict[str, str]:
    """The header that says how to ask, and what was wrong (RFC 6750, section 3)."""
    parameters = {"realm": REALM} | told
    return {"WWW-Authenticate": "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parameters.items())}
