"""`explain`: what would become of events, and why; nothing is sent, stored or counted."""

from __future__ import annotations

import sys
from typing import BinaryIO

import click
import msgspec

from app.commands.explain_report import report, violations_report
from app.commands.output import json_option, print_json
from app.domain.event_rules import read_timely_event
from app.domain.violation import InvalidInputError
from app.explain.explainer import Explainer
from app.http.problems import of_input
from app.settings import settings
from infrastructure import wiring


@click.command()
@click.argument("file", type=click.File("rb"))
@json_option
def explain(file: BinaryIO, as_json: bool) -> None:
    """Tell what would become of the events in FILE (- for standard input), and why.

    FILE holds one event as JSON, or NDJSON: an event a line, each explained as if it came alone. Nothing is sent,
    stored or counted. Exit code 1 if an event is invalid; the others are explained.
    """
    bodies = _events(file.read())
    if not bodies:
        raise click.UsageError("FILE holds no event")
    explainer = wiring.explainer(settings())
    # All of them, whatever becomes of the first.
    are_valid = [_explain(body, explainer, as_json) for body in bodies]
    if not all(are_valid):
        sys.exit(1)


def _explain(body: bytes, explainer: Explainer, as_json: bool) -> bool:
    """Print what is to be told of one event; whether it is valid. With `as_json` one document a line."""
    try:
        explained = explainer.explain(read_timely_event(body, explainer.catalogue))
    except InvalidInputError as error:
        if as_json:
            print_json(of_input(error))
        else:
            violations_report(error)
        return False
    if as_json:
        print_json(explained)
    else:
        report(explained)
    return True


def _events(text: bytes) -> list[bytes]:
    """The events: the whole text, or its lines where the first of several is a document by itself."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines if len(lines) > 1 and _is_json(lines[0]) else [text] if lines else []


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
