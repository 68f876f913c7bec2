"""The running service against its own /openapi.json, as schemathesis sees it: all its checks.

Everything is real: granian, Kafka's protocol, Redis, SQLite, an API key.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.generation.stateful.state_machine import StepInput, StepOutput
from sqlalchemy import delete

from app.domain.api_key import Scope
from app.http.openapi.document import OPERATIONS, document
from app.settings import Settings
from infrastructure import wiring
from infrastructure.sql.engine import shared_engine, writing
from infrastructure.sql.schema import devices
from tests.support.api_keys import add_key, bearer
from tests.support.http_process import ROOT, HttpProcess
from tests.support.redis_server import RedisServer

#: What is expected otherwise than schemathesis would, with reasons.
CONFIG = ROOT / "tests" / "support" / "schemathesis.toml"
#: The whole run; what it takes here is about a fifth of it.
TIME_LIMIT_S = 120
#: Walks along links, and steps of each: so many that each link is followed several times.
WALKS, STEPS = 400, 10
#: Nothing is routed here, so that waiting for what became of a cancelled one is waiting for nothing.
QUICK = {"NOTIFY_CANCEL_WAIT_S": "0.01"}


@pytest.fixture
def server(service: Settings, tmp_path: Path) -> Iterator[HttpProcess]:
    process = HttpProcess(service.as_environ() | QUICK, tmp_path / "output")
    try:
        process.wait_until_up()
        yield process
    finally:
        process.stop()


@pytest.fixture
def token(service: Settings) -> str:
    return add_key(wiring.api_keys(service), wiring.secret(service), Scope.ADMIN)


def test_what_the_service_does_is_what_its_document_says(server: HttpProcess, token: str, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG)]
    argv += ["run", f"{server.url}/openapi.json", "--url", server.url, "--header", f"Authorization: Bearer {token}"]
    argv += ["--checks", "all", "--mode", "all", "--phases", "examples,coverage,fuzzing,stateful"]
    argv += ["--exclude-checks", "use_after_free", "--suppress-health-check", "filter_too_much"]
    argv += ["--generation-deterministic", "--continue-on-failure", "--no-color"]
    run = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False)
    said = f"{run.stdout}\n{run.stderr}"
    assert run.returncode == 0, said
    tested = len(OPERATIONS) - 1  # the document is where it starts from
    assert f"{tested} selected / {tested} total" in said


def told_links(told: Any) -> set[tuple[str, str]]:
    """The links that are told: the operation, whatever its status, and the one it leads to."""
    return {
        (f"{method.upper()} {path}", name)
        for path, operations in told["paths"].items()
        for method, operation in operations.items()
        for response in operation["responses"].values()
        for name in response.get("links", {})
    }


def as_told(transition: str) -> tuple[str, str]:
    """From `POST /a -> [202] name -> GET /b`."""
    source, link, _ = transition.split(" -> ")
    return source, link.partition(" ")[2]


def test_links_lead_where_they_say(
    server: HttpProcess, service: Settings, token: str, redis_server: RedisServer
) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json", config=SchemathesisConfig.from_path(CONFIG))
    schema.config.generation.update(modes=[schemathesis.GenerationMode.POSITIVE])
    users = wiring.users(service)
    followed: set[tuple[str, str]] = set()

    @schema.hook
    def map_body(context: Any, body: Any) -> Any:
        # A zone made of random letters is none, and a user that is not stored leads nowhere.
        return {"timezone": "UTC"} if context.operation.definition.raw["operationId"] == "replaceUser" else body

    class Walk(schema.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            # Each walk begins alike, so that one can be repeated: no users, no devices, no Idempotency-Keys.
            redis_server.flush()
            with writing(shared_engine(service.database_url, service.store_timeout_s)) as connection:
                connection.execute(delete(devices))
            for user in users.list():
                users.delete(user.id)

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": bearer(token)}

        def step(self, input: StepInput) -> StepOutput:  # noqa: A002 - its name there
            output = super().step(input)
            if input.transition is not None and input.is_applied:
                followed.add(as_told(input.transition.id))
            return output

    Walk.run(
        settings=settings(
            max_examples=WALKS,
            stateful_step_count=STEPS,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
    )
    assert told_links(document(server.url, asks_keys=True)) - followed == set()
