"""/unsubscribe/{token}: the link of a mail. POST turns a category off (RFC 8058); GET asks first, and changes nothing.

It needs no API key: who has the mail may do it.
"""

from __future__ import annotations

from html import escape
from typing import Final

import flask
from msgspec import structs

from app.domain.preference_rules import ANY
from app.domain.unsubscribe import PATH as ROOT
from app.domain.unsubscribe import Unsubscribed, UnsubscribeLinks
from app.http.problems import NOT_FOUND, ProblemError
from app.http.services import Services

PATH: Final = f"{ROOT}<token>"
HTML: Final = "text/html"
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Notifications</title>
<body><p>{text}</p>{form}</body></html>
"""
# The same body as a mail program sends (RFC 8058, section 3.1). Without an action it goes to the page's own address.
_FORM: Final = """
<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click"><button>Turn off</button></form>
"""


def blueprint(services: Services) -> flask.Blueprint:
    """The resource."""
    routes = flask.Blueprint("unsubscribe", __name__)
    links = UnsubscribeLinks(services.secret, services.settings.public_url)

    @routes.get(PATH)
    def ask(token: str) -> flask.Response:
        return _page("Turn off all notifications of the kind “{}”?", _known(links, token), _FORM)

    @routes.post(PATH)
    def turn_off(token: str) -> flask.Response:
        what = _known(links, token)
        preferences = services.preferences.get(what.user_id)
        # Alone: beside it, the entry of one channel would decide for that channel.
        channels = preferences.channels | {what.category: {ANY: False}}
        services.preferences.put(what.user_id, structs.replace(preferences, channels=channels))
        return _page("Notifications of the kind “{}” are turned off.", what)

    return routes


def _known(links: UnsubscribeLinks, token: str) -> Unsubscribed:
    what = links.read(token)
    if what is None:
        raise ProblemError(NOT_FOUND.problem("It is not a link of a mail, or not the whole of it."))
    return what


def _page(text: str, what: Unsubscribed, form: str = "") -> flask.Response:
    page = _PAGE.format(text=text.format(escape(what.category)), form=form)
    return flask.Response(page, headers=HEADERS, content_type=f"{HTML}; charset=utf-8")
