"""A store that can go on only in a new process ends the HTTP process, not just one request."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from flask.testing import FlaskClient

from app.domain.ports import RawRecord
from app.http import ending
from app.http.app import create_app
from app.http.services import Services
from tests.support.http_services import EVENT, client_without


class GivenUpLog:
    """EventLog whose client gave up."""

    def publish(self, records: Sequence[RawRecord], timeout_s: float) -> list[Exception | None]:
        raise SystemExit("the Kafka client gave up")

    def is_ready(self, timeout_s: float) -> bool:
        raise SystemExit("the Kafka client gave up")


@pytest.fixture
def ends() -> list[str]:
    return []


def client(services: Services, ends: list[str]) -> FlaskClient:
    made = client_without(services, log=GivenUpLog())
    ending.install(made.application, lambda: ends.append("end"))
    return made


def test_an_event_is_refused_and_the_process_ends_once(http_services: Services, ends: list[str]) -> None:
    http = client(http_services, ends)
    answers = [http.post("/api/v1/notifications", json=EVENT) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [503, 503]
    assert answers[0].content_type == "application/problem+json"
    assert answers[0].headers["Retry-After"] == "2"
    assert ends == ["end"]


def test_meanwhile_it_is_not_ready_and_being_asked_so_is_enough(http_services: Services, ends: list[str]) -> None:
    http = client(http_services, ends)
    assert http.get("/readyz").status_code == 503
    assert http.get("/livez").status_code == 200
    assert ends == ["end"]


def test_other_requests_go_as_ever(http_services: Services, ends: list[str]) -> None:
    app = create_app(http_services)
    ending.install(app, lambda: ends.append("end"))
    http = app.test_client()
    assert http.post("/api/v1/notifications", json=EVENT).status_code == 202
    assert http.get("/readyz").status_code == 200
    assert not ends
