"""The embedded mailbox as a process: SMTP in, page and JSON out."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest

from app.domain.ports import Receipt
from app.settings import Settings
from infrastructure.channels.email import EmailProvider
from infrastructure.embedded.mailbox_store import MailStore
from tests.support.mailbox import Mailbox, running_mailbox
from tests.support.messages import message

HOSTILE = "<script>alert(1)</script><p>Hello &amp; welcome</p>"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mailbox]:
    with running_mailbox(tmp_path_factory.mktemp("mailbox"), NOTIFY_MAILBOX_MESSAGES="60") as box:
        yield box


@pytest.fixture
def box(running: Mailbox) -> Mailbox:
    running.get("/api/messages", "DELETE")
    return running


def send(box: Mailbox, count: int = 1, **given: object) -> list[Receipt | Exception]:
    provider = EmailProvider(dataclasses.replace(Settings(), smtp_url=box.smtp_url))
    results = provider.send([message(f"d-{i}", **given) for i in range(count)], 10.0)
    provider.close()
    return results


def test_a_mail_can_be_read_as_json_at_once(box: Mailbox) -> None:
    (receipt,) = send(box, subject="Größe", text="Grüße\nan alle", html=HOSTILE)
    listed = box.get("/api/messages")
    assert listed["total"] == 1
    row = listed["messages"][0]
    assert receipt == Receipt(provider_id=row["id"])
    assert row["to"] == ["user@example.com"]
    assert row["subject"] == "Größe"
    assert row["message_id"] == "<d-0@localhost>"
    assert row["sender"] == "Notify <notify@localhost>"
    whole = box.get(f"/api/messages/{row['id']}")
    assert whole["text"] == "Grüße\nan alle\n"
    assert whole["html"] == HOSTILE + "\n"
    assert whole["headers"]["auto-submitted"] == "auto-generated"


def test_lists_are_newest_first_and_can_be_narrowed(box: Mailbox) -> None:
    for i in range(3):
        send(box, address=f"user-{i}@example.com", subject=f"mail {i}")
    assert [row["subject"] for row in box.get("/api/messages")["messages"]] == ["mail 2", "mail 1", "mail 0"]
    assert [row["subject"] for row in box.get("/api/messages?limit=2")["messages"]] == ["mail 2", "mail 1"]
    assert [row["subject"] for row in box.get("/api/messages?to=USER-1@")["messages"]] == ["mail 1"]
    newest = box.get("/api/messages")["messages"][0]["id"]
    assert [row["subject"] for row in box.get(f"/api/messages?before={newest}")["messages"]] == ["mail 1", "mail 0"]


def test_only_the_newest_are_kept(box: Mailbox) -> None:
    send(box, 70)
    listed = box.get("/api/messages?limit=100")
    assert listed["total"] == len(listed["messages"]) == 60
    assert listed["messages"][-1]["message_id"] == "<d-10@localhost>"
    assert len(list((box.folder / "mailbox").iterdir())) == 60


def test_the_page_lists_in_portions(box: Mailbox) -> None:
    send(box, 60, subject="<b>Sale</b>")
    page = box.text("/")
    assert page.count("&lt;b&gt;Sale&lt;/b&gt;") == 50
    assert "60 mails" in page
    older = page.split('href="/?before=')[1].split('"')[0]
    assert box.text(f"/?before={older}").count("&lt;b&gt;Sale") == 10


def test_an_empty_mailbox_says_so(box: Mailbox) -> None:
    assert "No mail yet" in box.text("/")
    assert "Nothing found" in box.text("/?to=nobody")


def test_a_mail_has_html_text_headers_and_source(box: Mailbox) -> None:
    send(box, text="plain & simple", html=HOSTILE)
    path = f"/messages/{box.get('/api/messages')['messages'][0]['id']}"
    assert f'<iframe sandbox src="{path}/html"' in box.text(path)
    assert "plain &amp; simple" in box.text(f"{path}?view=text")
    assert "Auto-Submitted" in box.text(f"{path}?view=headers")
    assert "multipart/alternative" in box.text(f"{path}?view=source")
    assert "<iframe" in box.text(f"{path}?view=nonsense")


def test_a_mail_without_html_opens_as_text(box: Mailbox) -> None:
    send(box, text="plain", html="")
    page = box.text(f"/messages/{box.get('/api/messages')['messages'][0]['id']}")
    assert "<pre>plain" in page
    assert "view=html" not in page


def test_the_mails_html_is_shut_in(box: Mailbox) -> None:
    send(box, html=HOSTILE)
    mail_id = box.get("/api/messages")["messages"][0]["id"]
    with box.open(f"/messages/{mail_id}/html") as response:
        policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "script" not in policy
    with box.open("/") as response:
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/messages/0", "/api/messages/..%2f..%2fx", "/messages/nope/html"])
def test_what_is_not_there_is_404(box: Mailbox, path: str) -> None:
    with pytest.raises(HTTPError, match="404"):
        box.open(path)


def test_it_stops_quickly_and_finds_its_mails_again(tmp_path: Path) -> None:
    with running_mailbox(tmp_path) as box:
        send(box, 3, subject="kept")
        with socket.create_connection(("127.0.0.1", box.smtp_port)):  # a client that stays connected holds up nothing
            printed = box.stop()
        assert box.process is not None
        assert box.process.returncode == 0, printed
        assert "Traceback" not in printed
        box.start()
        assert [row["subject"] for row in box.get("/api/messages")["messages"]] == ["kept"] * 3
        send(box, subject="new")
        assert box.get("/api/messages")["messages"][0]["subject"] == "new"


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    box = Mailbox(tmp_path)
    with socket.create_server(("127.0.0.1", box.smtp_port)), pytest.raises(RuntimeError) as caught:
        box.start()
    assert f"NOTIFY_SMTP_BIND: cannot listen on 127.0.0.1:{box.smtp_port}" in str(caught.value)


def test_mails_that_are_no_mails_are_still_shown(tmp_path: Path) -> None:
    store = MailStore(tmp_path, 10)
    for content in (
        b"",
        b"\xff\xfe\0 nonsense",
        b"Subject: =?utf-8?b?broken\r\n\r\n",
        b"Subject: =?nocharset?q?x?=\r\n\r\n",
    ):
        store.add(content, "", ["a@b.de"])
    assert len(store.list(limit=10)) == 4
    assert MailStore(tmp_path, 10).list(limit=1)[0].to == ["a@b.de"]


def test_the_first_start_makes_the_folder(tmp_path: Path) -> None:
    assert MailStore(tmp_path / "a" / "b", 10).list(limit=1) == []
    assert (tmp_path / "a" / "b").is_dir()
