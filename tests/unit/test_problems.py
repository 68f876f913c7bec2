"""Problems: the members of RFC 9457, and the codes they go out with."""

from __future__ import annotations

import json

import flask
import pytest
from flask.testing import FlaskClient

from app.domain.errors import StoreUnavailableError, TopicFullError
from app.domain.violation import InvalidInputError, MalformedInputError, TooLargeInputError, Violation
from app.http import problems

CONTENT = "what nobody but the user may read"


@pytest.fixture
def client() -> FlaskClient:
    app = flask.Flask(__name__)
    problems.install(app)

    @app.get("/raise/<name>")
    def fail(name: str) -> str:
        raise {
            "problem": problems.ProblemError(problems.KEY_RUNNING.problem("wait", retry_after_s=0.2)),
            "input": InvalidInputError([Violation("/a~1b", "is wrong"), Violation("", "is empty")]),
            "malformed": MalformedInputError([Violation("", "is not JSON")]),
            "large": TooLargeInputError([Violation("", "is large")]),
            "store": StoreUnavailableError("redis"),
            "bug": RuntimeError(CONTENT),
        }[name]

    return app.test_client()


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/raise/problem", 409, "urn:notify:problem:idempotency-key-running"),
        ("/raise/input", 422, "urn:notify:problem:invalid"),
        ("/raise/malformed", 400, "urn:notify:problem:malformed"),
        ("/raise/large", 413, "urn:notify:problem:too-large"),
        ("/raise/store", 503, "urn:notify:problem:unavailable"),
        ("/raise/bug", 500, "urn:notify:problem:internal"),
        ("/nowhere", 404, "urn:notify:problem:not-found"),
    ],
)
def test_every_error_is_a_problem(client: FlaskClient, path: str, status: int, kind: str) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    problem = json.loads(answer.data)
    assert (problem["type"], problem["status"]) == (kind, status)
    assert problem["title"]


def test_a_wrong_method_says_which_are_allowed(client: FlaskClient) -> None:
    answer = client.post("/raise/bug")
    assert answer.status_code == 405
    assert json.loads(answer.data)["status"] == 405
    assert "GET" in answer.headers["Allow"]


def test_each_thing_wrong_has_its_pointer(client: FlaskClient) -> None:
    errors = json.loads(client.get("/raise/input").data)["errors"]
    assert errors == [{"detail": "is wrong", "pointer": "/a~1b"}, {"detail": "is empty", "pointer": ""}]


def test_retry_after_is_in_whole_seconds_at_least_one(client: FlaskClient) -> None:
    answer = client.get("/raise/problem")
    assert answer.headers["Retry-After"] == "1"
    assert json.loads(answer.data)["retry_after_s"] == 1
    assert int(client.get("/raise/store").headers["Retry-After"]) >= 1


def test_a_bug_tells_neither_client_nor_log_what_was_sent(
    client: FlaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = client.get("/raise/bug")
    said = capsys.readouterr()
    assert CONTENT not in answer.text + said.out + said.err
    assert "http_failed" in said.out + said.err


def test_a_full_topic_was_not_written_and_says_when_to_come_back() -> None:
    problem = problems.of_publishing(TopicFullError("notifications.raw", retry_after_s=2.1))
    assert (problem.status, problem.retry_after_s) == (503, 3)
    assert problem.type.endswith(":full")


def test_an_unconfirmed_event_may_have_landed_and_the_text_says_so() -> None:
    problem = problems.of_publishing(StoreUnavailableError("no ack"))
    assert problem.status == 503
    assert problem.retry_after_s is not None
    assert "may still have landed" in problem.detail
    assert "Idempotency-Key" in problem.detail


def test_kinds_are_told_apart_by_name() -> None:
    names = [kind.name for kind in problems.KINDS]
    assert len(set(names)) == len(names)
