"""OPTIONS: what is allowed on the path that was meant. `.../batch` could also be an id, but is none."""

from __future__ import annotations

import flask


def install(app: flask.Flask) -> None:
    """Answer OPTIONS by the rule that fits best alone; the framework would join all that fit."""

    @app.before_request
    def options() -> flask.Response | None:
        rule = flask.request.url_rule
        if rule is None or flask.request.method != "OPTIONS":
            return None
        same = [one.methods or set() for one in app.url_map.iter_rules() if one.rule == rule.rule]
        return flask.Response(headers={"Allow": ", ".join(sorted(set().union(*same)))})
