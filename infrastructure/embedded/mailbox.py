"""A mail system for trying out: an SMTP server that delivers to a folder, and a page that shows it."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from app.domain.bind import parse_bind
from app.domain.errors import ConfigError
from app.settings import Settings
from infrastructure.embedded.mailbox_page import make_page
from infrastructure.embedded.mailbox_store import MailStore

log = structlog.get_logger(__name__)

FOLDER = "mailbox"
_BACKLOG = 128


def run_mailbox(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigError where a port is taken. For the main thread."""
    asyncio.run(_serve(settings))


class _Inbound:
    """aiosmtpd's handler: whatever comes is taken."""

    def __init__(self, store: MailStore) -> None:
        self._store = store

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        content = envelope.content or b""
        mail_id = self._store.add(
            content.encode() if isinstance(content, str) else content, envelope.mail_from or "", envelope.rcpt_tos
        )
        return f"250 2.0.0 OK: queued as {mail_id}"


class _QuietHandler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """No line for a page that reloads itself every few seconds."""


async def _serve(settings: Settings) -> None:
    store = MailStore(settings.state_dir / FOLDER, settings.mailbox_messages)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with (
        _listen(settings.smtp_bind, "NOTIFY_SMTP_BIND") as smtp_socket,
        _listen(settings.mailbox_bind, "NOTIFY_MAILBOX_BIND") as page_socket,
    ):
        inbound = _Inbound(store)
        smtp = await loop.create_server(
            lambda: SMTP(inbound, ident="Notify mailbox", loop=loop), sock=smtp_socket, backlog=_BACKLOG
        )
        page = _start_page(store, page_socket)
        log.info("mailbox_ready", smtp=settings.smtp_bind, page=f"http://{settings.mailbox_bind}")
        await stop.wait()
        smtp.close()
        page.shutdown()
        page.server_close()
    log.info("mailbox_stopped")


def _start_page(store: MailStore, listening: socket.socket) -> BaseWSGIServer:
    host, port = listening.getsockname()[:2]
    page = make_server(
        host, port, make_page(store), threaded=True, request_handler=_QuietHandler, fd=listening.fileno()
    )
    page.daemon_threads = True  # type: ignore[attr-defined]  # of the threaded server, which make_server returns here
    threading.Thread(target=page.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True, name="page").start()
    return page


def _listen(address: str, setting: str) -> socket.socket:
    bind = parse_bind(address, setting)
    listening = socket.socket(socket.AF_INET6 if ":" in bind.host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((bind.host, bind.port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigError(f"{setting}: cannot listen on {bind}: {error.strerror}") from error
    return listening
