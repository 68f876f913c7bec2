"""Port EventLog, measured: hands everything on and tells the metrics what came of it."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.errors import StoreUnavailableError
from app.domain.ports import EventLog, RawRecord
from app.http.metrics import HttpMetrics


class MeasuredLog:
    """The port over another of its kind. `publish` is for requests only: it is timed from their start."""

    def __init__(self, log: EventLog, metrics: HttpMetrics) -> None:
        self._log = log
        self._metrics = metrics

    def publish(self, records: Sequence[RawRecord], timeout_s: float) -> list[Exception | None]:
        """See `app.domain.ports.EventLog`."""
        try:
            errors = self._log.publish(records, timeout_s)
        except StoreUnavailableError as error:
            self._metrics.published(records, [error] * len(records))
            raise
        self._metrics.published(records, errors)
        return errors

    def is_ready(self, timeout_s: float) -> bool:
        """See `app.domain.ports.EventLog`."""
        return self._log.is_ready(timeout_s)
