"""The mailbox as a page, and as JSON for tests and scripts."""

from __future__ import annotations

from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from http import HTTPStatus
from typing import cast

import msgspec
from flask import Flask, Response, abort, render_template, request

from infrastructure.embedded.mailbox_store import MailStore, MailSummary

_PAGE_ROWS = 50
_API_ROWS = 100
_TABS = ("html", "text", "headers", "source")
_PAGE_CSP = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'self'"
# A mail may be hostile: no scripts, no requests to anywhere, an origin of its own.
_MAIL_CSP = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def make_page(store: MailStore) -> Flask:
    """The WSGI application."""
    app = Flask(__name__, template_folder="mailbox_templates", static_folder=None)
    app.jinja_env.filters["moment"] = _moment
    app.jinja_env.filters["size"] = _size
    app.after_request(_protect)

    @app.get("/")
    def index() -> str:
        to, before = request.args.get("to", ""), request.args.get("before", "")
        rows = store.list(to=to, before=before, limit=_PAGE_ROWS + 1)
        older = rows[_PAGE_ROWS - 1].id if len(rows) > _PAGE_ROWS else ""
        return render_template("list.html", rows=rows[:_PAGE_ROWS], older=older, to=to, before=before, total=len(store))

    @app.get("/messages/<mail_id>")
    def show(mail_id: str) -> str:
        summary, content = _found(store, mail_id)
        mail = _parse(content)
        tabs = [tab for tab in _TABS if tab != "html" or _body(mail, "html")]
        view = request.args.get("view", tabs[0])
        return render_template(
            "message.html",
            mail=summary,
            tabs=tabs,
            view=view if view in tabs else tabs[0],
            text=_body(mail, "plain"),
            headers=[(name, str(value)) for name, value in mail.items()],
            source=content.decode("utf-8", "replace"),
        )

    @app.get("/messages/<mail_id>/html")
    def html(mail_id: str) -> Response:
        body = _body(_parse(_found(store, mail_id)[1]), "html")
        return Response(body, mimetype="text/html", headers={"Content-Security-Policy": _MAIL_CSP})

    @app.get("/api/messages")
    def api_list() -> Response:
        limit = request.args.get("limit", _API_ROWS, type=int)
        rows = store.list(to=request.args.get("to", ""), before=request.args.get("before", ""), limit=limit)
        return _json({"total": len(store), "messages": rows})

    @app.get("/api/messages/<mail_id>")
    def api_show(mail_id: str) -> Response:
        summary, content = _found(store, mail_id)
        mail = _parse(content)
        headers = {name.lower(): str(value) for name, value in mail.items()}
        bodies = {"text": _body(mail, "plain"), "html": _body(mail, "html")}
        return _json({**msgspec.to_builtins(summary), **bodies, "headers": headers})

    @app.delete("/api/messages")
    def api_clear() -> Response:
        return _json({"removed": store.clear()})

    return app


def _found(store: MailStore, mail_id: str) -> tuple[MailSummary, bytes]:
    return store.get(mail_id) or abort(HTTPStatus.NOT_FOUND)


def _parse(content: bytes) -> EmailMessage:
    return BytesParser(policy=policy.default).parsebytes(content)


def _body(mail: EmailMessage, subtype: str) -> str:
    """The mail's text/plain or text/html part; empty where there is none that can be read."""
    try:
        part = mail.get_body((subtype,))
        return cast("str", part.get_content()).replace("\r\n", "\n") if part is not None else ""
    except (LookupError, ValueError, AttributeError):  # an unknown charset, a broken encoding, a part that is no text
        return ""


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), mimetype="application/json")


def _protect(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", _PAGE_CSP)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-store"
    return response


def _moment(at_ms: int) -> str:
    """The time today, else date and time, on this machine's clock."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone()
    return at.strftime("%H:%M:%S" if at.date() == datetime.now(UTC).astimezone().date() else "%Y-%m-%d %H:%M")


def _size(size: int) -> str:
    kilobyte = 1024
    return f"{size} B" if size < kilobyte else f"{size / kilobyte:.1f} kB"
