"""How bridges and pools tell that they do their work, and how `manage.py ready` asks."""

from __future__ import annotations

import http.server
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import manage
from app.domain.bind import parse_bind
from app.domain.errors import StoreUnavailableError
from app.settings import Settings
from bridges import loop
from infrastructure.embedded.ready import mark_ready, ready_path, was_ready_within

REAL = {
    "NOTIFY_PROFILE": "real",
    "NOTIFY_SECRET_KEY": "secret",
    "NOTIFY_DATABASE_URL": "sqlite://",
    "NOTIFY_HISTORY_URL": "sqlite://",
}


def real(folder: Path) -> Settings:
    return Settings.load(REAL | {"NOTIFY_STATE_DIR": str(folder)})


def ask(*words: str, **settings: str) -> Result:
    return CliRunner().invoke(manage.manage, ["ready", *words], env={f"NOTIFY_{k}": v for k, v in settings.items()})


@contextmanager
def answering(status: int) -> Iterator[tuple[str, list[str]]]:
    """(address, paths asked for) of a server with one answer."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"0.0.0.0:{server.server_port}", asked
        server.shutdown()
        thread.join()


class Turning:
    """A bridge that has its place from the third turn on, and whose store is away in each."""

    name = "turning"

    def __init__(self, stop: loop.Stop, turns: int) -> None:
        self._stop = stop
        self._left = turns
        self.done = 0

    def is_ready(self) -> bool:
        return self.done >= 3

    def turn(self) -> None:
        self.done += 1
        self._left -= 1
        if not self._left:
            self._stop.set()
        raise StoreUnavailableError("away")

    def close(self) -> None:
        """Nothing to close."""


def run(settings: Settings, turns: int, monkeypatch: pytest.MonkeyPatch, beat_s: float) -> list[int]:
    """The turns after which it said that it is ready."""
    stop = loop.Stop()
    bridge = Turning(stop, turns)
    marks: list[int] = []
    monkeypatch.setattr(loop, "_PAUSE_S", 0.001)
    monkeypatch.setattr(loop, "BEAT_S", beat_s)
    monkeypatch.setattr(loop, "mark_ready", lambda *_: marks.append(bridge.done))
    loop.run(bridge, settings, stop)
    return marks


def test_a_bridge_says_so_once_it_has_its_place_and_as_long_as_it_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(real(tmp_path), 5, monkeypatch, beat_s=0.0) == [3, 4, 5]


def test_it_says_so_now_and_again_and_not_every_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(real(tmp_path), 5, monkeypatch, beat_s=60.0) == [3]


def test_silence_is_told_by_the_exit_code(tmp_path: Path) -> None:
    assert ask("router", STATE_DIR=str(tmp_path)).exit_code == 1
    settings = real(tmp_path)
    mark_ready(settings, "router")
    assert ask("router", STATE_DIR=str(tmp_path)).exit_code == 0
    a_minute_ago_s = time.time() - 61
    os.utime(ready_path(settings, "router"), (a_minute_ago_s, a_minute_ago_s))
    result = ask("router", STATE_DIR=str(tmp_path))
    assert (result.exit_code, result.output) == (1, "router is not ready\n")
    assert ask("router", "--within", "120", STATE_DIR=str(tmp_path)).exit_code == 0


def test_the_real_profile_makes_no_state_folder(tmp_path: Path) -> None:
    settings = real(tmp_path / "none")
    mark_ready(settings, "router")
    assert not settings.state_dir.exists()
    assert not was_ready_within(settings, "router", 60)


def test_a_folder_that_cannot_be_written_to_ends_no_work(tmp_path: Path) -> None:
    (tmp_path / "ready").touch()
    mark_ready(real(tmp_path), "router")
    assert not was_ready_within(real(tmp_path), "router", 60)


@pytest.mark.parametrize(("part", "path"), [("api", "/readyz"), ("flower", "/healthcheck")])
def test_servers_are_asked_where_they_listen(part: str, path: str) -> None:
    variable = {"api": "HTTP_BIND", "flower": "FLOWER_BIND"}[part]
    with answering(200) as (address, asked):
        assert ask(part, **{variable: address}).exit_code == 0
    assert asked == [path]
    with answering(503) as (address, _):
        assert ask(part, **{variable: address}).exit_code == 1
    assert ask(part, **{variable: address}).exit_code == 1, "nobody is there"


def test_the_mailbox_has_to_answer_at_both_its_addresses() -> None:
    with answering(200) as (address, _):
        assert ask("mailbox", SMTP_BIND=address, MAILBOX_BIND=address).exit_code == 0
        assert ask("mailbox", SMTP_BIND="127.0.0.1:1", MAILBOX_BIND=address).exit_code == 1
        assert ask("mailbox", SMTP_BIND=address, MAILBOX_BIND="127.0.0.1:1").exit_code == 1


@pytest.mark.parametrize(
    ("bind", "host"), [("0.0.0.0:80", "127.0.0.1"), ("[::]:80", "::1"), ("192.0.2.1:80", "192.0.2.1")]
)
def test_an_address_for_all_is_reached_on_loopback(bind: str, host: str) -> None:
    assert parse_bind(bind, "NOTIFY_X").local_host == host
