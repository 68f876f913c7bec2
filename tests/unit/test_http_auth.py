"""Who may start a service that asks nobody for a key, and who one that does."""

from __future__ import annotations

import pytest

from app.domain.bind import Bind, parse_bind
from app.domain.errors import ConfigError
from app.http.auth import check_auth
from app.settings import Settings


def settings(bind: str, auth: str | None = None) -> Settings:
    given = {"NOTIFY_HTTP_BIND": bind} | ({} if auth is None else {"NOTIFY_HTTP_AUTH": auth})
    return Settings.load(given)


@pytest.mark.parametrize("bind", ["127.0.0.1:8080", "127.9.9.9:1", "[::1]:8080", "localhost:8080"])
def test_nothing_has_to_be_said_on_loopback(bind: str, capsys: pytest.CaptureFixture[str]) -> None:
    check_auth(settings(bind))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("bind", ["0.0.0.0:8080", "[::]:8080", "192.0.2.1:80", "example.org:80"])
def test_elsewhere_none_must_be_said_and_is_warned_about(bind: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="NOTIFY_HTTP_AUTH"):
        check_auth(settings(bind))
    check_auth(settings(bind, "none"))
    assert "http_auth_is_none" in capsys.readouterr().out


@pytest.mark.parametrize("bind", ["127.0.0.1:8080", "0.0.0.0:8080", "example.org:80"])
def test_with_keys_it_may_listen_anywhere(bind: str, capsys: pytest.CaptureFixture[str]) -> None:
    check_auth(settings(bind, "keys"))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("text", ["", "8080", ":8080", "host", "host:", "host:port", "host:0", "host:70000", "h:1/x"])
def test_what_is_no_address_names_the_setting(text: str) -> None:
    with pytest.raises(ConfigError, match="NOTIFY_HTTP_BIND"):
        parse_bind(text, "NOTIFY_HTTP_BIND")


def test_an_address_is_written_as_it_is_read() -> None:
    for text in ("127.0.0.1:80", "[::1]:80"):
        assert str(parse_bind(text, "X")) == text
    assert parse_bind("[::1]:80", "X") == Bind("::1", 80)
