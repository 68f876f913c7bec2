"""/docs: a page to read and try this API in. It is made in the browser from /openapi.json and asks no other host."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, get_args

import flask

from app.http.problems import NOT_FOUND, ProblemError
from app.http.services import Services

PATH = "/docs"
HTML = "text/html"
Asset = Literal["page.css", "page.js", "dom.js", "schema.js", "trial.js", "icon.svg"]
#: How a file is sent, by the end of its name.
MEDIA_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HEADERS: Final = {
    # Scripts, styles and requests of this origin alone; no frame of another site.
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

_FOLDER = Path(__file__).with_name("docs_page")


def blueprint(_services: Services) -> flask.Blueprint:
    """The resource. Its files are read once."""
    routes = flask.Blueprint("docs", __name__)
    page = (_FOLDER / "page.html").read_bytes()
    assets = {name: (_FOLDER / name).read_bytes() for name in get_args(Asset)}

    @routes.get(PATH)
    def show() -> flask.Response:
        return flask.Response(page, headers=HEADERS, content_type=f"{HTML}; charset=utf-8")

    @routes.get(f"{PATH}/<asset>")
    def show_asset(asset: str) -> flask.Response:
        if asset not in assets:
            raise ProblemError(NOT_FOUND.problem())
        media_type = MEDIA_TYPES[Path(asset).suffix]
        return flask.Response(assets[asset], headers=HEADERS, content_type=f"{media_type}; charset=utf-8")

    return routes
