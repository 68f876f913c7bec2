"""Port Tracer over OpenTelemetry: spans go to a collector by OTLP over HTTP, in batches, from a thread of their own.

The packages are an extra (requirements-otlp.in); this module is imported only where NOTIFY_OTLP_ENDPOINT is set.
"""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags

from app.domain.trace import Attributes
from app.domain.trace import Span as SpanPort

#: A collector that is slow must not hold up a process that stops.
_TIMEOUT_S = 2.0
_EVERY_MS = 1000
#: As many links as the SDK keeps.
MAX_LINKS = 128


class OtlpTracer:
    """To be made in the process that uses it: its thread does not survive a fork."""

    is_on = True

    def __init__(self, endpoint: str, part: str) -> None:
        """`endpoint` is the collector's, `http://host:4318`."""
        resource = Resource.create({"service.name": "notify", "service.instance.id": part})
        self._provider = TracerProvider(resource=resource)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=_TIMEOUT_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=_EVERY_MS))
        self._tracer = self._provider.get_tracer("notify")

    def start(
        self,
        name: str,
        *,
        parent: str = "",
        attributes: Attributes | None = None,
        links: Sequence[tuple[str, str]] = (),
        started_at_ms: int = 0,
    ) -> SpanPort:
        """See `app.domain.trace.Tracer`."""
        context = trace.set_span_in_context(NonRecordingSpan(_context(parent))) if parent else None
        linked = [Link(_context(one), {"notification.id": notification_id}) for one, notification_id in links if one]
        span = self._tracer.start_span(
            name,
            context=context,
            attributes=dict(attributes or {}),
            links=linked[:MAX_LINKS],
            start_time=started_at_ms * 1_000_000 or None,
        )
        return OtlpSpan(span)

    def close(self) -> None:
        """See `app.domain.trace.Tracer`."""
        self._provider.shutdown()


class OtlpSpan:
    """Port Span."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        made = span.get_span_context()
        self.traceparent = f"00-{made.trace_id:032x}-{made.span_id:016x}-{int(made.trace_flags):02x}"

    def tell(self, attributes: Attributes) -> None:
        """See `app.domain.trace.Span`."""
        self._span.set_attributes(dict(attributes))

    def end(self, *, error: str = "") -> None:
        """See `app.domain.trace.Span`."""
        if error:
            self._span.set_status(Status(StatusCode.ERROR, error))
        self._span.end()


def _context(traceparent: str) -> SpanContext:
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
