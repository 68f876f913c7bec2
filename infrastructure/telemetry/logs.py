"""Logs: structlog events, as JSON where the output is no terminal.

What others may have written never gets in: of an error its type and place are logged, not its text, and of a library's
line the first one only, for Celery quotes the whole of a message that it does not know.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from types import TracebackType
from typing import Any

import structlog

from app.settings import Settings

Event = structlog.typing.EventDict

#: Loggers that hand nothing on to the root logger.
_ALONE = ("multiprocessing",)
_log = structlog.get_logger()


def configure_logs(settings: Settings) -> None:
    """Set up structlog and the standard library's root logger for this process; both go to standard error."""
    level = getattr(logging, settings.log_level.upper())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        place_of_error,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, place_of_error, renderer],
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared, first_line],
        )
    )
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler], force=True)
    for name in _ALONE:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
    sys.excepthook = _crashed
    threading.excepthook = lambda about: _crashed(about.exc_type, about.exc_value, about.exc_traceback)


def place_of_error(_logger: Any, _method: str, event: Event) -> Event:
    """Processor: the type and place of an error instead of its text, which may quote content."""
    given = event.pop("exc_info", None)
    error = sys.exc_info()[1] if given is True else given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        event.setdefault("error", type(error).__name__)
        event["frames"] = _frames(error.__traceback__)
    return event


def first_line(_logger: Any, _method: str, event: Event) -> Event:
    """Processor: the first line of what a library has to say."""
    event["event"] = next((line for line in str(event["event"]).splitlines() if line.strip()), "")
    return event


def _frames(trace: TracebackType | None) -> list[str]:
    return [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(trace)]


def _crashed(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """Python's own would print the error's text."""
    causes = []
    while error is not None and (error := error.__cause__) is not None:
        causes.append(type(error).__name__)
    _log.critical("process_failed", error=kind.__name__, causes=causes, frames=_frames(trace))
