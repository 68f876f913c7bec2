"""/openapi.json tells all routes, and what it tells of them is what they do."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.domain import codec
from app.domain.callback import Told, callback_of
from app.domain.clock import now_ms
from app.domain.device import Device, device_id
from app.domain.errors import StoreUnavailableError
from app.domain.event import MAX_EVENT_BYTES, Event
from app.domain.ids import derived_id
from app.domain.outcome import Outcome, Status
from app.domain.ports import InboxEntry
from app.domain.unsubscribe import UnsubscribeLinks
from app.domain.users import Contacts, User
from app.http.app import create_app
from app.http.services import Services
from tests.support.api_keys import Keyed
from tests.support.http_services import EVENT, SECRET, RecordingLog, client_without
from tests.support.json_schema import faults, resolve
from tests.support.receipts import SES, TWILIO, ids, sns, sns_document, twilio_reply, twilio_status

#: What is older may have expired, and is not waited for.
AT_MS = now_ms()
NOTIFICATIONS, BATCH = "/api/v1/notifications", "/api/v1/notifications/batch"
EXPLAIN = "/api/v1/explain"
USER = "/api/v1/users/{user_id}"
JSON = "application/json"
LARGE = {"data": b"x" * (5_000_000 + 1), "content_type": JSON}
BROKEN = {"data": b"nope", "content_type": JSON}
FORM = {"data": b"a=1", "content_type": "application/x-www-form-urlencoded"}
PREFERENCES = {
    "channels": {"marketing": {"*": False}},
    "muted_until": "2030-01-01T00:00:00Z",
    "quiet_hours": {"start": "22:00", "end": "07:00"},
}
TOKEN = UnsubscribeLinks(SECRET, "https://localhost").link("user-001", "marketing").rpartition("/")[2]
DEVICE = {"platform": "fcm", "token": "known"}
PLACES = {
    "user_id": "user-001",
    "device_id": "d1",
    "notification_id": "n1",
    "entry_id": "e1",
    "asset": "page.js",
    "token": TOKEN,
    "provider": TWILIO,
}
RECEIPTS = "/api/v1/receipts/{provider}"
#: Of a delivery that the fixture stores.
CALLBACK = twilio_status("delivered", ids("d1", "n1"))


@dataclass(frozen=True)
class Case:
    """A request, and the status that it is answered with. `is_away`: by an application whose stores do not answer."""

    method: str
    path: str
    status: int
    options: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    is_away: bool = False

    def ask(self, client: FlaskClient) -> TestResponse:
        return client.open(self.path.format(**PLACES | self.places), method=self.method, **self.options)


def refused_bodies(method: str, path: str) -> Iterator[Case]:
    """What is answered alike wherever a body is read."""
    yield Case(method, path, 400, BROKEN)
    yield Case(method, path, 413, LARGE)
    yield Case(method, path, 415, FORM)
    yield Case(method, path, 422, {"json": {"x": 1}})


def refused_users(method: str, path: str) -> Iterator[Case]:
    """What is answered alike wherever a user stands in the path."""
    yield Case(method, path, 404, places={"user_id": "a/b"})
    yield Case(method, path, 422, places={"user_id": "x" * 129})


OF_USERS = {
    USER: ("GET", "PUT", "DELETE"),
    USER + "/preferences": ("GET", "PUT"),
    USER + "/devices": ("GET", "POST"),
    USER + "/devices/{device_id}": ("DELETE",),
    USER + "/notifications": ("GET",),
    USER + "/inbox": ("GET",),
    USER + "/inbox/read": ("POST",),
    USER + "/inbox/{entry_id}/read": ("POST",),
}
CASES = [
    *(case for path, methods in OF_USERS.items() for method in methods for case in refused_users(method, path)),
    Case(
        "POST",
        NOTIFICATIONS,
        202,
        {"json": EVENT | {"options": {"priority": "high", "to": {"email": "a@example.com"}}}},
    ),
    *refused_bodies("POST", NOTIFICATIONS),
    Case("POST", NOTIFICATIONS, 400, {"json": EVENT, "headers": {"Idempotency-Key": '"'}}),
    Case("POST", NOTIFICATIONS, 409, {"json": EVENT, "headers": {"Idempotency-Key": "running"}}),
    Case("POST", NOTIFICATIONS, 503, {"json": EVENT}, is_away=True),
    Case("POST", BATCH, 202, {"json": [EVENT, EVENT | {"idempotency_key": "k"}]}),
    Case("POST", BATCH, 202, {"data": json.dumps(EVENT), "content_type": "application/x-ndjson"}),
    Case("POST", BATCH, 202, {"data": json.dumps(EVENT), "content_type": "application/ndjson"}),
    Case("POST", BATCH, 202, {"data": json.dumps(EVENT), "content_type": "application/jsonl"}),
    Case("POST", BATCH, 207, {"json": [EVENT, EVENT | {"user_id": 3}]}),
    Case("POST", BATCH, 207, {"json": [EVENT]}, is_away=True),
    *refused_bodies("POST", BATCH),
    Case(
        "POST",
        EXPLAIN,
        200,
        {"json": EVENT | {"options": {"priority": "low", "ttl_s": 60, "channels": ["sms", "email"]}}},
    ),
    *refused_bodies("POST", EXPLAIN),
    Case("GET", NOTIFICATIONS + "/{notification_id}", 200),
    Case("GET", NOTIFICATIONS + "/{notification_id}", 404, places={"notification_id": "none"}),
    Case("GET", NOTIFICATIONS + "/{notification_id}", 503, is_away=True),
    Case("DELETE", NOTIFICATIONS + "/{notification_id}", 200, places={"notification_id": "n2"}),
    Case("DELETE", NOTIFICATIONS + "/{notification_id}", 202),
    Case("DELETE", NOTIFICATIONS + "/{notification_id}", 404, places={"notification_id": "none"}),
    Case("DELETE", NOTIFICATIONS + "/{notification_id}", 409, places={"notification_id": "n3"}),
    Case("DELETE", NOTIFICATIONS + "/{notification_id}", 503, is_away=True),
    Case("GET", USER, 200),
    Case("GET", USER, 404, places={"user_id": "nobody"}),
    Case("GET", USER, 503, is_away=True),
    Case("PUT", USER, 200, {"json": {"id": "user-001", "contacts": {"phone": "+4930123456"}}}),
    Case("PUT", USER, 201, {"json": {"locale": "de", "timezone": "Europe/Berlin"}}, {"user_id": "user-002"}),
    *refused_bodies("PUT", USER),
    Case("PUT", USER, 503, {"json": {}}, is_away=True),
    Case("DELETE", USER, 200),
    Case("DELETE", USER, 503, is_away=True),
    Case("GET", USER + "/preferences", 200),
    Case("GET", USER + "/preferences", 503, is_away=True),
    Case("PUT", USER + "/preferences", 200, {"json": PREFERENCES}),
    *refused_bodies("PUT", USER + "/preferences"),
    Case("PUT", USER + "/preferences", 503, {"json": {}}, is_away=True),
    Case("GET", "/unsubscribe/{token}", 200),
    Case("GET", "/unsubscribe/{token}", 404, places={"token": TOKEN[:-1]}),
    Case("POST", "/unsubscribe/{token}", 200),
    Case("POST", "/unsubscribe/{token}", 404, places={"token": TOKEN[:-1]}),
    Case("POST", "/unsubscribe/{token}", 503, is_away=True),
    Case("POST", RECEIPTS, 200, twilio_reply("hello").options),
    Case("POST", RECEIPTS, 200, CALLBACK.options),
    Case("POST", RECEIPTS, 400, FORM),
    Case("POST", RECEIPTS, 400, BROKEN, places={"provider": SES}),
    Case("POST", RECEIPTS, 404, FORM, places={"provider": "nobody"}),
    Case("POST", RECEIPTS, 404, FORM, places={"provider": "a/b"}),
    Case("POST", RECEIPTS, 413, LARGE),
    Case("POST", RECEIPTS, 415, {"data": b"<x/>", "content_type": "application/xml"}),
    Case("POST", RECEIPTS, 422, sns(sns_document('{"mail": {}}')).options, places={"provider": SES}),
    Case("POST", RECEIPTS, 503, CALLBACK.options, is_away=True),
    Case("GET", USER + "/devices", 200),
    Case("GET", USER + "/devices", 503, is_away=True),
    Case("POST", USER + "/devices", 200, {"json": DEVICE | {"locale": None}}),
    Case("POST", USER + "/devices", 201, {"json": DEVICE | {"token": "new"}}),
    *refused_bodies("POST", USER + "/devices"),
    Case("POST", USER + "/devices", 503, {"json": DEVICE}, is_away=True),
    Case("DELETE", USER + "/devices/{device_id}", 200),
    Case("DELETE", USER + "/devices/{device_id}", 503, is_away=True),
    Case("GET", USER + "/notifications", 200, {"query_string": {"limit": 1}}),
    Case("GET", USER + "/notifications", 422, {"query_string": {"cursor": "?"}}),
    Case("GET", USER + "/notifications", 503, is_away=True),
    Case("GET", USER + "/inbox", 200, {"query_string": {"unread": "true", "limit": 200}}),
    Case("GET", USER + "/inbox", 422, {"query_string": {"unread": "1"}}),
    Case("GET", USER + "/inbox", 503, is_away=True),
    Case("POST", USER + "/inbox/read", 200),
    Case("POST", USER + "/inbox/read", 503, is_away=True),
    Case("POST", USER + "/inbox/{entry_id}/read", 200),
    Case("POST", USER + "/inbox/{entry_id}/read", 503, is_away=True),
    Case("GET", "/api/v1/stats", 200, {"query_string": {"group_by": "day,hour,channel,event_type,status,reason"}}),
    Case("GET", "/api/v1/stats", 422, {"query_string": {"from": "yesterday"}}),
    Case("GET", "/api/v1/stats", 503, is_away=True),
    Case("GET", "/livez", 200),
    Case("GET", "/readyz", 200),
    Case("GET", "/readyz", 503, is_away=True),
    Case("GET", "/metrics", 200),
    Case("GET", "/openapi.json", 200),
    Case("GET", "/docs", 200),
    Case("GET", "/docs/{asset}", 200),
    Case("GET", "/docs/{asset}", 200, places={"asset": "page.css"}),
    Case("GET", "/docs/{asset}", 200, places={"asset": "icon.svg"}),
    Case("GET", "/docs/{asset}", 404, places={"asset": "page.html"}),
]


class Away:
    def __getattr__(self, name: str) -> Any:
        raise StoreUnavailableError(name)


@pytest.fixture
def document(http: FlaskClient) -> Any:
    answer = http.get("/openapi.json")
    assert (answer.status_code, answer.content_type) == (200, JSON)
    return answer.json


@pytest.fixture
def clients(http: FlaskClient, http_services: Services) -> dict[bool, FlaskClient]:
    """Whether stores are away -> an application; where they are not, there is something in each."""
    event = codec.decode(json.dumps(EVENT), Event)
    http_services.users.put(User(id="user-001", contacts=Contacts(email="user-001@example.com")))
    shared = {"notification_id": "n1", "user_id": "user-001", "event_type": "security_alert", "event": event}
    shared |= {"accepted_at_ms": AT_MS, "at_ms": AT_MS, "delivery_id": "d1", "channel": "email"}
    http_services.history.append(
        [
            Outcome(**shared, status=Status.PARKED, until_at_ms=AT_MS + 1),
            Outcome(**shared, status=Status.SENT, pass_no=1, provider="smtp", provider_id="m"),
            *(
                Outcome(
                    **shared | {"notification_id": name, "delivery_id": name + channel, "channel": channel}, status=end
                )
                for name, end in (("n2", Status.CANCELLED), ("n3", Status.SENT))
                for channel in ("email", "in_app")
            ),
        ]
    )
    token = device_id(SECRET, "fcm", "known")
    http_services.devices.register(
        Device(id=token, user_id="user-001", platform="fcm", token="known", registered_at_ms=AT_MS), 20
    )
    entry = {"notification_id": "n1", "user_id": "user-001", "event_type": "security_alert", "category": "security"}
    http_services.inbox.add([InboxEntry(id="e1", **entry, subject="s", body="b", created_at_ms=AT_MS)])
    running = derived_id(SECRET, "anonymous", "running")
    http_services.idempotency.begin([(running, hashlib.sha256(codec.encode(event)).hexdigest())])
    log = RecordingLog()
    log.errors, log.is_up = [StoreUnavailableError("no ack")], False
    away = Away()
    stores = dict.fromkeys(
        ("users", "preferences", "devices", "inbox", "history", "statistics", "cancels", "forget", "take_report"),
        away,
    )
    absent = client_without(http_services, log=log, **stores)
    return {False: http, True: absent}


def as_documented(answer: TestResponse, operation: dict[str, Any], document: Any) -> None:
    """Whether status, media type, headers and body of the answer are those of the operation."""
    told = operation["responses"][str(answer.status_code)]
    assert answer.mimetype in told["content"]
    headers = {"Location", "Retry-After"} & set(answer.headers.keys())
    needed = {name for name, header in told.get("headers", {}).items() if header["required"]}
    assert needed <= headers <= set(told.get("headers", {}))
    schema = told["content"][answer.mimetype]["schema"]
    body = json.loads(answer.data) if "json" in answer.mimetype else answer.text
    assert faults(body, schema, document) == []


def routes(services: Services) -> set[tuple[str, str]]:
    return {
        (method, re.sub(r"<(\w+)>", r"{\1}", rule.rule))
        for rule in create_app(services).url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }


def test_every_route_is_told_with_its_methods_and_no_other_is(document: Any, http_services: Services) -> None:
    told = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
    assert told == routes(http_services)


def test_options_tells_the_methods_of_the_path(http: FlaskClient, document: Any) -> None:
    for path, operations in document["paths"].items():
        told = {method.upper() for method in operations}
        allowed = set(http.options(path.format(**PLACES)).headers["Allow"].split(", "))
        assert allowed - {"HEAD", "OPTIONS"} == told, path


def test_every_parameter_of_a_path_is_told(document: Any) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            told = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
            assert told == set(re.findall(r"{(\w+)}", path))


def test_operations_have_names_of_their_own(document: Any) -> None:
    names = [operation["operationId"] for operations in document["paths"].values() for operation in operations.values()]
    assert len(names) == len(set(names))


def test_every_reference_resolves_and_every_schema_is_used(document: Any) -> None:
    references = set(re.findall(r'"\$ref": ?"([^"]+)"', json.dumps(document)))
    assert all(resolve(document, reference) for reference in references)
    assert references == {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}


def test_callbacks_are_told_as_they_are_made_where_keys_are_asked_for(keyed: Keyed, document: Any) -> None:
    assert "webhooks" not in document
    of_keys = keyed.client.get("/openapi.json").json
    test_every_reference_resolves_and_every_schema_is_used(of_keys)
    content = of_keys["webhooks"]["callback"]["post"]["requestBody"]["content"][JSON]
    assert faults(content["example"], content["schema"], of_keys) == []
    for delivery_id in ("", "d"):
        told = Told(
            notification_id="n", delivery_id=delivery_id, event_type="t", status="sent", at_ms=AT_MS, key_id="k"
        )
        made = callback_of(told, AT_MS)
        assert made is not None
        assert faults(json.loads(made.body), content["schema"], of_keys) == []
        assert json.loads(made.body)["type"] in of_keys["webhooks"]["callback"]["post"]["description"]


def test_the_document_says_where_the_service_is(document: Any, http_services: Services) -> None:
    assert document["openapi"].startswith("3.1.")
    assert [server["url"] for server in document["servers"]] == [http_services.settings.public_url]


def test_patterns_are_in_the_form_of_json_schema(document: Any) -> None:
    patterns = re.findall(r'"pattern": ?("(?:[^"\\]|\\.)*")', json.dumps(document))
    assert patterns
    assert not [pattern for pattern in map(json.loads, patterns) if re.search(r"\\[AZz]|\(\?", pattern)]


def test_every_answer_that_is_told_has_a_case(document: Any) -> None:
    """So nothing is told that does not occur; 500 has a test of its own."""
    told = {
        (method.upper(), path, int(status))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        for status in operation["responses"]
    }
    assert {one for one in told if one[2] != 500} == {(case.method, case.path, case.status) for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.method}-{case.path}-{case.status}")
def test_answers_are_as_told(case: Case, clients: dict[bool, FlaskClient], document: Any) -> None:
    answer = case.ask(clients[case.is_away])
    assert answer.status_code == case.status
    operation = document["paths"][case.path][case.method.lower()]
    as_documented(answer, operation, document)
    told = {one["name"] for one in operation.get("parameters", [])}
    assert {*case.options.get("query_string", ()), *case.options.get("headers", ())} <= told
    if case.status < 300 and case.options.get("json") is not None and not case.is_away:
        schema = operation["requestBody"]["content"][JSON]["schema"]
        refused = case.status == 207
        assert bool(faults(case.options["json"], schema, document)) is refused
    if "content_type" in case.options and case.status < 300:
        assert case.options["content_type"] in operation["requestBody"]["content"]


def test_an_error_of_ours_is_as_told(http_services: Services, document: Any) -> None:
    class Wrong:
        def get(self, user_id: str) -> User:
            raise RuntimeError(user_id)

    answer = client_without(http_services, users=Wrong()).get("/api/v1/users/user-001")
    assert answer.status_code == 500
    as_documented(answer, document["paths"][USER]["get"], document)


@pytest.mark.parametrize(
    "changes",
    [
        {"x": 1},
        {"user_id": 1},
        {"user_id": ""},
        {"user_id": "a\n"},
        {"event_type": "A"},
        {"event_type": "a\n"},
        {"content": []},
        {"metadata": None},
        {"options": {"priority": "urgent"}},
        {"options": {"channels": []}},
        {"options": {"ttl_s": 0}},
        {"options": {"to": {"fax": "1"}}},
    ],
)
def test_what_the_schema_refuses_the_service_refuses(http: FlaskClient, document: Any, changes: dict[str, Any]) -> None:
    schema = resolve(document, "#/components/schemas/Event")
    assert faults(EVENT, schema, document) == []
    assert faults(EVENT | changes, schema, document)
    assert http.post(NOTIFICATIONS, json=EVENT | changes).status_code == 422


def test_the_largest_event_is_told(document: Any) -> None:
    assert str(MAX_EVENT_BYTES) in document["paths"][NOTIFICATIONS]["post"]["description"]


def test_every_example_is_what_its_schema_asks_for(document: Any) -> None:
    contents = [
        content
        for operations in document["paths"].values()
        for operation in operations.values()
        for told in (operation.get("requestBody", {}), *operation["responses"].values())
        for content in told.get("content", {}).values()
        if "example" in content
    ]
    assert len(contents) > 4
    for content in contents:
        assert faults(content["example"], content["schema"], document) == []


def test_every_example_of_a_body_is_taken(http: FlaskClient, document: Any) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                if "example" in content:
                    data = json.dumps(content["example"])
                    options = {"method": method.upper(), "data": data, "content_type": media_type}
                    assert http.open(path.format(**PLACES), **options).status_code < 207


def test_links_lead_to_operations_and_name_their_parameters(document: Any) -> None:
    parameters = {
        operation["operationId"]: {one["name"] for one in operation.get("parameters", [])}
        for operations in document["paths"].values()
        for operation in operations.values()
    }
    links = {
        (operation["operationId"], link["operationId"]): set(link["parameters"])
        for operations in document["paths"].values()
        for operation in operations.values()
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    }
    assert ("acceptEvent", "showNotification") in links
    for (_, target), named in links.items():
        assert named <= parameters[target]
