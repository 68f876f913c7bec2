"""What a running set is asked by its clients: HTTP, the mailbox, Flower, manage.py."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.history import HistoryView

ROOT = Path(__file__).parents[2]
LOOK_S = 0.05
REQUEST_S = 30.0
COMMAND_S = 60.0


class Answer(NamedTuple):
    """An HTTP answer. `headers` by names in small letters; `json` is None where the body is no JSON."""

    status: int
    headers: Mapping[str, str]
    json: Any


def wait_until(is_true: Callable[[], Any], what: str, within_s: float = 30.0, look_s: float = LOOK_S) -> Any:
    """What `is_true` gives once it is true; fails where that takes too long."""
    deadline = time.monotonic() + within_s
    while not (found := is_true()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(look_s)
    return found


class StackClient:
    """The asking half of `Stack`, which sets what is declared here."""

    profile: str
    history: HistoryView
    state: Path
    environ: dict[str, str]
    port: int
    mailbox_port: int
    flower_port: int

    def endpoints(self) -> dict[str, str]:
        """Where its parts can be reached."""
        found: dict[str, str] = json.loads((self.state / "endpoints.json").read_text())
        return found

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def put(self, path: str, body: Any) -> Answer:
        return self.request("PUT", path, json.dumps(body).encode())

    def post(self, event: Any, **headers: str) -> Answer:
        """POST an event."""
        return self.request("POST", "/api/v1/notifications", json.dumps(event).encode(), headers)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """The answer of the HTTP service. Raises OSError where there is none."""
        given = {"Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in (headers or {}).items()
        }
        return ask(self.port, method, path, body, given)

    def mailbox(self, path: str) -> Any:
        """JSON of the mailbox page."""
        return ask(self.mailbox_port, "GET", path).json

    def flower(self, path: str) -> Any:
        """JSON of Flower's API."""
        return ask(self.flower_port, "GET", path, headers={"Authorization": f"Basic {self.flower_auth()}"}).json

    def flower_auth(self) -> str:
        """What Flower asks for, encoded for the header."""
        return b64encode((self.state / "flower_auth").read_bytes().strip()).decode()

    def manage(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of manage.py beside the running set."""
        argv = [sys.executable, str(ROOT / "manage.py"), *words]
        return subprocess.run(
            argv, cwd=ROOT, env=self.environ, capture_output=True, text=True, timeout=COMMAND_S, check=False
        )

    def final(self, notification_id: str, within_s: float = 30.0) -> Any:
        """GET of the notification, once all its deliveries are final."""
        return self.shown(notification_id, lambda shown: shown["status"] not in ("accepted", "parked"), within_s)

    def shown(self, notification_id: str, is_wanted: Callable[[Any], bool], within_s: float = 30.0) -> Any:
        """GET of the notification, once it is as wanted."""
        last: list[Any] = [None]

        def look() -> Any:
            last[0] = self.get(f"/api/v1/notifications/{notification_id}").json
            return last[0] if is_wanted(last[0]) else None

        try:
            return wait_until(look, f"{notification_id} is as wanted", within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}: {last[0]}") from None


def ask(
    port: int, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """One request. Raises OSError where there is no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_S)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        text = response.read()
    except http.client.HTTPException as error:
        raise ConnectionError(type(error).__name__) from error
    finally:
        connection.close()
    is_json = "json" in (response.getheader("Content-Type") or "")
    found = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, found, json.loads(text) if is_json else None)
