"""API keys over HTTP: who gets in, for what, and how often."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.domain.api_key import ApiKey, Scope, new_token, token_id
from app.domain.errors import StoreUnavailableError
from app.http.access import SCOPES
from app.http.app import create_app
from app.http.key_ring import KeyRing
from app.http.services import Services
from infrastructure.redis.client import make_client
from infrastructure.redis.request_limits import RedisRequestLimits
from tests.support.api_keys import Keyed, add_key, bearer, keyed_app
from tests.support.http_services import EVENT, RecordingLog
from tests.support.kafka_broker import eventually
from tests.support.redis_server import RedisServer
from tests.support.sql_stores import Stores

POST = "/api/v1/notifications"
USER = "/api/v1/users/user-001"
OPEN = {
    *(("GET", path) for path in ("/livez", "/readyz", "/openapi.json", "/docs", "/docs/<asset>")),
    *((method, "/unsubscribe/<token>") for method in ("GET", "POST")),
    ("POST", "/api/v1/receipts/<provider>"),
}
PLACES = {
    "user_id": "user-001",
    "device_id": "d",
    "notification_id": "n",
    "entry_id": "e",
    "asset": "page.js",
    "token": "t",
    "provider": "none",
}


class WatchedKeys:
    """Port ApiKeys over the real one: counts the readings, and may be away."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.readings = 0
        self.is_away = False

    def list(self) -> Sequence[ApiKey]:
        self.readings += 1
        if self.is_away:
            raise StoreUnavailableError("SQL: away")
        keys: Sequence[ApiKey] = self._store.list()
        return keys

    def note_uses(self, uses: Mapping[str, int]) -> None:
        self._store.note_uses(uses)


def routes(services: Services) -> list[tuple[str, str]]:
    return [
        (method, rule.rule)
        for rule in create_app(services).url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    ]


def filled(rule: str) -> str:
    return re.sub(r"<(\w+)>", lambda place: PLACES[place[1]], rule)


def test_every_route_has_a_scope_or_is_listed_as_open(http_services: Services) -> None:
    given = routes(http_services)
    assert set(given) == set(SCOPES)
    assert {route for route in given if SCOPES[route] is None} == OPEN


def test_which_scope_is_needed_follows_from_the_method_and_what_it_is_about() -> None:
    for (method, rule), scope in SCOPES.items():
        if (method, rule) in OPEN:
            continue
        if method == "GET" or (method, rule) == ("POST", "/api/v1/explain"):
            assert scope is Scope.READ
        else:
            assert scope is (Scope.SEND if rule.startswith(POST) else Scope.ADMIN)


def test_each_operation_is_refused_without_its_scope_and_open_with_it(keyed: Keyed) -> None:
    tokens = {scope: keyed.add(scope) for scope in Scope}
    for (method, rule), needed in SCOPES.items():
        assert (keyed.ask(None, method, filled(rule)).status_code == 401) is (needed is not None)
        for scope, token in tokens.items():
            status = keyed.ask(token, method, filled(rule)).status_code
            assert (status == 403) is (needed is not None and scope not in (needed, Scope.ADMIN)), (method, rule, scope)
            assert status != 401


def test_what_is_wrong_with_a_request_is_told_to_nobody_without_a_key(keyed: Keyed) -> None:
    too_long = f"/api/v1/users/{'x' * 129}"
    assert keyed.ask(None, "GET", too_long).status_code == 401
    assert keyed.ask(keyed.add(Scope.READ), "GET", too_long).status_code == 422


def test_head_needs_what_get_needs(keyed: Keyed) -> None:
    assert keyed.ask(None, "HEAD", USER).status_code == 401
    assert keyed.ask(keyed.add(Scope.SEND), "HEAD", USER).status_code == 403


def test_no_key_an_unknown_one_and_a_wrong_one_are_answered_with_a_challenge(keyed: Keyed) -> None:
    known = keyed.add(Scope.ADMIN)
    forged = known[:-64] + "0" * 64
    for headers in ({}, {"Authorization": "Basic dTpw"}, {"Authorization": "Bearer"}, {"Authorization": known}):
        answer = keyed.client.get(USER, headers=headers)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="notify"'), headers
    for token in (new_token(), forged, "x", known + "0"):
        answer = keyed.ask(token, "GET", USER)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (
            401,
            'Bearer realm="notify", error="invalid_token"',
        )
        assert answer.content_type == "application/problem+json"
        assert answer.json["type"] == "urn:notify:problem:unauthenticated"
        assert token not in answer.text
    assert keyed.ask(known, "GET", USER).status_code == 404


def test_a_refusal_names_the_scope_that_is_missing(keyed: Keyed) -> None:
    answer = keyed.ask(keyed.add(Scope.READ), "POST", POST, json=EVENT)
    assert answer.status_code == 403
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="notify", error="insufficient_scope", scope="send"'
    assert answer.json["type"] == "urn:notify:problem:forbidden"
    assert "`send`" in answer.json["detail"]


def test_what_is_refused_is_not_done(keyed: Keyed, http_log: RecordingLog) -> None:
    assert keyed.ask(None, "POST", POST, json=EVENT).status_code == 401
    assert keyed.ask(keyed.add(Scope.READ), "POST", POST, json=EVENT).status_code == 403
    assert http_log.records == []


def test_an_event_goes_with_the_id_of_the_key_that_sent_it_and_never_the_key(
    keyed: Keyed, http: FlaskClient, http_log: RecordingLog
) -> None:
    token = keyed.add(Scope.SEND)
    assert keyed.ask(token, "POST", POST, json=EVENT).status_code == 202
    assert keyed.ask(token, "POST", f"{POST}/batch", json=[EVENT, EVENT]).status_code == 202
    assert {record.key_id for record in http_log.records} == {token_id(token)}
    assert token.rpartition("_")[2] not in repr(http_log.records)
    assert http.post(POST, json=EVENT).status_code == 202
    assert http_log.records[-1].key_id == "", "where no key is asked for"


def test_a_fresh_key_works_at_once(keyed: Keyed) -> None:
    assert keyed.ask(keyed.add(Scope.READ), "GET", USER).status_code == 404


def test_requests_with_known_keys_ask_sql_nothing(http_services: Services, keyed: Keyed) -> None:
    keys = WatchedKeys(http_services.api_keys)
    app = keyed_app(http_services, api_keys=keys)
    key = keyed.add(Scope.SEND)
    assert app.ask(key, "POST", POST, json=EVENT).status_code == 202
    before = keys.readings
    for _ in range(20):
        assert app.ask(key, "POST", POST, json=EVENT).status_code == 202
    assert keys.readings == before
    app.close()


def test_unknown_keys_cause_one_refresh_a_second_and_only_one_of_them_waits(http_services: Services) -> None:
    keys = WatchedKeys(http_services.api_keys)
    app = keyed_app(http_services, api_keys=keys)
    eventually(lambda: keys.readings, "the first reading")
    start = time.monotonic()
    statuses = {app.ask(new_token(), "GET", USER).status_code for _ in range(200)}
    took_s = time.monotonic() - start
    assert statuses == {401}
    assert keys.readings - 1 <= 1 + took_s
    app.close()


def test_with_sql_away_the_keys_stay_as_last_known(http_services: Services, keyed: Keyed) -> None:
    key = keyed.add(Scope.SEND)
    keys = WatchedKeys(http_services.api_keys)
    app = keyed_app(http_services, refresh_s="0.02", api_keys=keys)
    assert app.ask(key, "POST", POST, json=EVENT).status_code == 202
    keys.is_away = True
    tried = keys.readings
    eventually(lambda: keys.readings > tried + 3, "some refreshes that fail")
    assert app.ask(key, "POST", POST, json=EVENT).status_code == 202
    http_services.api_keys.revoke(str(token_id(key)), 1)
    keys.is_away = False
    eventually(lambda: app.ask(key, "POST", POST, json=EVENT).status_code == 401, "the refusal", 2.0)
    app.close()


def test_before_any_key_is_known_nobody_is_told_that_theirs_is_wrong(http_services: Services, keyed: Keyed) -> None:
    key = keyed.add(Scope.SEND)
    keys = WatchedKeys(http_services.api_keys)
    keys.is_away = True
    app = keyed_app(http_services, refresh_s="0.02", api_keys=keys)
    answer = app.ask(key, "POST", POST, json=EVENT)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert app.ask(None, "GET", "/livez").status_code == 200
    keys.is_away = False
    eventually(lambda: app.ask(key, "POST", POST, json=EVENT).status_code == 202, "the keys")
    app.close()


def test_the_refreshing_outlives_an_error_of_any_kind(http_services: Services, keyed: Keyed) -> None:
    key = keyed.add(Scope.READ)
    keys = WatchedKeys(http_services.api_keys)
    keys._store = None  # an AttributeError at each reading
    app = keyed_app(http_services, refresh_s="0.02", api_keys=keys)
    eventually(lambda: keys.readings > 2, "readings that fail")
    keys._store = http_services.api_keys
    eventually(lambda: app.ask(key, "GET", USER).status_code == 404, "the keys")
    app.close()


def test_a_revoked_key_is_refused_from_the_next_refresh_on(http_services: Services, keyed: Keyed) -> None:
    key = keyed.add(Scope.READ)
    app = keyed_app(http_services, refresh_s="0.05")
    assert app.ask(key, "GET", USER).status_code == 404
    http_services.api_keys.revoke(str(token_id(key)), 1)
    eventually(lambda: app.ask(key, "GET", USER).status_code == 401, "the refusal", 2.0)
    app.close()


def test_idempotency_keys_and_ids_belong_to_the_key(keyed: Keyed) -> None:
    first, second = keyed.add(Scope.SEND), keyed.add(Scope.SEND)

    def post(token: str, content: str = "c") -> Any:
        headers = bearer(token) | {"Idempotency-Key": "k"}
        return keyed.client.post(POST, json=EVENT | {"content": content}, headers=headers)

    ids = [post(token).json["id"] for token in (first, second, first)]
    assert ids[0] == ids[2] != ids[1]
    assert post(first, "other").status_code == 422


def test_beyond_its_limit_a_key_waits_as_long_as_it_is_told(keyed: Keyed) -> None:
    limited, free = keyed.add(Scope.READ, limit="2/60s"), keyed.add(Scope.READ)
    answers = [keyed.ask(limited, "GET", USER) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [404, 404, 429]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"key";q=2;w=60'}
    left = [answer.headers["RateLimit"] for answer in answers]
    assert re.fullmatch(r'"key";r=1;t=(2\d|30)', left[0])
    assert re.fullmatch(r'"key";r=0;t=(2\d|30)', left[1])
    refused = answers[2]
    assert left[2] == f'"key";r=0;t={refused.headers["Retry-After"]}'
    assert 20 <= int(refused.headers["Retry-After"]) <= 30
    assert refused.json["type"] == "urn:notify:problem:rate-limited"
    assert refused.json["retry_after_s"] == int(refused.headers["Retry-After"])
    unlimited = keyed.ask(free, "GET", USER)
    assert unlimited.status_code == 404
    assert "RateLimit" not in unlimited.headers


def test_processes_share_a_limit(http_services: Services, keyed: Keyed) -> None:
    token, other = keyed.add(Scope.READ, limit="2/h"), keyed_app(http_services)
    statuses = [app.ask(token, "GET", USER).status_code for app in (keyed, other, keyed, other)]
    assert statuses == [404, 404, 429, 429]
    other.close()


def test_what_a_key_may_not_do_costs_it_nothing(keyed: Keyed) -> None:
    token = keyed.add(Scope.READ, limit="1/h")
    for _ in range(3):
        assert keyed.ask(token, "POST", POST, json=EVENT).status_code == 403
    assert keyed.ask(token, "GET", USER).status_code == 404


def test_with_redis_away_the_limit_is_kept_in_the_process(http_services: Services, own_redis: RedisServer) -> None:
    client = make_client(own_redis.url(), 0.5)
    app = keyed_app(http_services, request_limits=RedisRequestLimits(client))
    token = app.add(Scope.READ, limit="3/h")
    assert app.ask(token, "GET", USER).status_code == 404
    own_redis.stop()
    assert [app.ask(token, "GET", USER).status_code for _ in range(5)] == [404, 404, 404, 429, 429]
    own_redis.start()
    eventually(lambda: app.ask(token, "GET", USER).status_code == 404, "Redis' own, empty count")
    app.close()
    client.close()


def test_the_last_use_is_written_at_most_now_and_then(stores: Stores) -> None:
    secret = b"s"
    used, unused = add_key(stores.api_keys, secret, Scope.READ), add_key(stores.api_keys, secret, Scope.READ)
    ring = KeyRing(stores.api_keys, secret, refresh_s=0.02, note_every_s=0.3)
    ring.start()

    def last_uses() -> dict[str, int]:
        return {key.id: key.last_used_at_ms for key in stores.api_keys.list()}

    with stores.statements() as statements:
        start = time.monotonic()
        while time.monotonic() < start + 1.0:
            assert ring.find(used) is not None
            time.sleep(0.005)
    written = [statement for statement in statements if statement.startswith("UPDATE")]
    assert 1 <= len(written) <= 1 + (time.monotonic() - start) / 0.3
    ring.close()
    assert last_uses()[str(token_id(used))] > 0
    assert last_uses()[str(token_id(unused))] == 0


def test_many_threads_get_the_same_answers_while_keys_come_and_go(http_services: Services, keyed: Keyed) -> None:
    key = keyed.add(Scope.READ)
    app = keyed_app(http_services, refresh_s="0.001")
    assert app.ask(key, "GET", USER).status_code == 404
    statuses: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: statuses.extend(
                app.client.application.test_client().get(USER, headers=bearer(key)).status_code for _ in range(50)
            )
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [404] * 200
    app.close()


def test_without_keys_being_asked_for_a_presented_one_is_ignored(http: FlaskClient) -> None:
    for headers in ({}, bearer(new_token()), {"Authorization": "Bearer x"}):
        assert http.post(POST, json=EVENT, headers=headers).status_code == 202


def test_paths_that_lead_nowhere_are_told_so_without_a_key(keyed: Keyed) -> None:
    assert keyed.ask(None, "GET", "/nothing").status_code == 404
    assert keyed.ask(None, "DELETE", USER + "/inbox").status_code == 405


@pytest.mark.parametrize("asks_keys", [True, False])
def test_the_document_says_who_is_asked_for_a_key(http: FlaskClient, keyed: Keyed, asks_keys: bool) -> None:
    document = (keyed.client if asks_keys else http).get("/openapi.json").json
    assert ("securitySchemes" in document["components"]) is asks_keys
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            scope = SCOPES[method.upper(), re.sub(r"{(\w+)}", r"<\1>", path)] if asks_keys else None
            assert operation.get("security") == (None if scope is None else [{"apiKey": [scope]}])
            assert ({"401", "403", "429"} <= set(operation["responses"])) is (scope is not None)
