"""Templates to subject, text and HTML: whatever a template or its input does, it ends soon and as PermanentError."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, Template, TemplateError, meta
from markupsafe import Markup

from app.domain.catalogue import Catalogue, EventRule
from app.domain.delivery import Delivery
from app.domain.errors import ConfigError, PermanentError
from app.domain.outcome import Reason
from app.domain.users import Recipient
from app.settings import Settings
from infrastructure.channels.header_value import header_value
from infrastructure.channels.sandbox import BoundedEnvironment
from infrastructure.channels.time_limit import OutOfTimeError, limited

VARIABLES = frozenset({"content", "metadata", "event_type", "user", "notification_id"})
HTML_CHANNELS = frozenset({"email"})

_LAYOUT_FILE = Path(__file__).with_name("layout.html")
_PARAGRAPH_END = re.compile(r"\n\s*\n")
_WHOLE_DOCUMENT = re.compile(r"\s*<(!doctype|html)\b", re.IGNORECASE)
_TEMPLATE_FRAMES = ("<template>", "<unknown>")


class Rendered(NamedTuple):
    """A delivery in words. `html` is empty for channels that show none."""

    subject: str
    text: str
    html: str


class Renderer:
    """Renders with compiled templates, which it keeps. Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        self._timeout_s = settings.template_ms / 1000
        self._max_bytes = settings.rendered_bytes
        self._plain = BoundedEnvironment(max_size=settings.rendered_bytes, autoescape=False)
        self._html = BoundedEnvironment(max_size=settings.rendered_bytes, autoescape=True)
        self._layout = self._html.from_string(_LAYOUT_FILE.read_text())
        self._compiled: dict[tuple[bool, str], Template] = {}

    def compile_all(self, catalogue: Catalogue, place: Callable[[str, str], str] | None = None) -> None:
        """Compile every template. Raises ConfigError naming event type, field and the template's line that is wrong.

        `place` tells where in the catalogue's file a type's field is (`catalogue.toml:12`), for the error.
        """
        for rule in (*catalogue.rules.values(), catalogue.default):
            for field, environment in (("subject", self._plain), ("text", self._plain), ("html", self._html)):
                where = f"{rule.event_type}: {field}"
                where = f"{place(rule.event_type, field)}: {where}" if place is not None else where
                self._check(where, environment, getattr(rule, field))

    def render(self, rule: EventRule, delivery: Delivery, recipient: Recipient | None) -> Rendered:
        """What to send. Raises PermanentError: template_error, or invalid_content for a subject of several lines.

        Its detail names template, error and line, and never quotes content.
        """
        variables = _variables(delivery, recipient)
        part = ["subject"]
        try:
            rendered = limited(self._timeout_s, lambda: self._render(rule, delivery, variables, part))
        except OutOfTimeError as error:
            raise _template_error(part[0], "out of time") from error
        except PermanentError:
            raise
        except Exception as error:  # a template may raise anything, MemoryError and RecursionError among it
            raise _template_error(part[0], _named(error)) from error
        return rendered._replace(subject=header_value(rendered.subject.strip(" \t"), "subject"))

    def _render(self, rule: EventRule, delivery: Delivery, variables: dict[str, Any], part: list[str]) -> Rendered:
        subject = self._run(self._template(rule.subject, is_html=False), variables)
        part[0] = "text"
        text = self._run(self._template(rule.text, is_html=False), variables)
        part[0] = "html"
        if delivery.channel not in HTML_CHANNELS:
            return Rendered(subject, text, "")
        own = self._run(self._template(rule.html, is_html=True), variables) if rule.html else ""
        if _WHOLE_DOCUMENT.match(own):
            return Rendered(subject, text, own)
        paragraphs = [] if own else [part.splitlines() for part in _PARAGRAPH_END.split(text.strip())]
        laid_out = variables | {"subject": subject, "paragraphs": paragraphs, "html": Markup(own)}  # noqa: S704 - rendered with autoescape
        return Rendered(subject, text, self._run(self._layout, laid_out))

    def _run(self, template: Template, variables: dict[str, Any]) -> str:
        text = "".join(self._capped(template.generate(variables)))
        if len(text.encode()) > self._max_bytes:
            raise OverflowError
        return text

    def _capped(self, chunks: Iterator[str]) -> Iterator[str]:
        size = 0
        for chunk in chunks:
            size += len(chunk)
            if size > self._max_bytes:
                raise OverflowError
            yield chunk

    def _template(self, source: str, *, is_html: bool) -> Template:
        key = (is_html, source)
        template = self._compiled.get(key)
        if template is None:
            environment = self._html if is_html else self._plain
            template = self._compiled[key] = environment.from_string(source)
        return template

    def _check(self, where: str, environment: Environment, source: str) -> None:
        try:
            unknown = meta.find_undeclared_variables(environment.parse(source)) - VARIABLES - set(environment.globals)
            self._template(source, is_html=environment is self._html)
        except (TemplateError, RecursionError, ValueError) as error:
            line = getattr(error, "lineno", None)
            raise ConfigError(f"{where}{f', line {line}' if line else ''}: {error}") from error
        if unknown:
            raise ConfigError(f"{where}: unknown variable {', '.join(sorted(unknown))}")


def _variables(delivery: Delivery, recipient: Recipient | None) -> dict[str, Any]:
    event = delivery.event
    recipient = recipient or Recipient(user_id=event.user_id)
    return {
        "content": event.content,
        "metadata": event.metadata,
        "event_type": event.event_type,
        "user": {"id": event.user_id, "locale": recipient.locale, "timezone": recipient.timezone},
        "notification_id": delivery.notification_id,
    }


def _named(error: Exception) -> str:
    """The error's type, and the template's line where it happened: its text may hold content."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename in _TEMPLATE_FRAMES]
    return type(error).__name__ + (f" in line {lines[-1]}" if lines else "")


def _template_error(part: str, what: str) -> PermanentError:
    return PermanentError(Reason.TEMPLATE_ERROR, f"{part}: {what}")
