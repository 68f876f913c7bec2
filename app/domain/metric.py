"""What a metric is: its name with its unit, its labels, who shows it, and what it tells."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

#: The kinds of processes that show metrics; a pool of workers is one, whatever the number of its children.
Process = Literal["http", "router", "dispatcher", "tracker", "scheduler", "callbacks", "worker"]
Labels = tuple[str, ...]

ALL_PROCESSES: tuple[Process, ...] = ("http", "router", "dispatcher", "tracker", "scheduler", "callbacks", "worker")


class Metric(Struct, frozen=True, kw_only=True):
    """A metric. `name` ends in `unit`; Prometheus shows a counter with `_total` behind it.

    Labels hold words of the code alone (lanes, topics, statuses, reasons), never an id, a host or an address. `zeros`
    are the label values that are shown as 0 before anything happened. `buckets` are the upper bounds of a histogram.
    """

    name: str
    unit: str
    sentence: str
    kind: Literal["counter", "gauge", "histogram"] = "counter"
    at: tuple[Process, ...]
    labels: Labels = ()
    zeros: tuple[Labels, ...] = ()
    buckets: tuple[float, ...] = ()
