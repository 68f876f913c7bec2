"""What all processes of a running set show on their `/metrics`."""

from __future__ import annotations

import http.client
from collections.abc import Collection, Iterator

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from app.settings import Settings
from infrastructure.telemetry.targets import targets
from tests.support.stack import Stack


def texts(stack: Stack, but: Collection[str] = ()) -> dict[str, str]:
    """Part -> what it shows; those of `but` are not asked."""
    found = dict(targets(Settings.load({"NOTIFY_STATE_DIR": str(stack.state)})))
    return {part: _text(address) for part, address in found.items() if part not in but}


def samples(stack: Stack, but: Collection[str] = ()) -> Iterator[tuple[str, Sample]]:
    """(part, sample) of all parts."""
    for part, text in texts(stack, but).items():
        for family in text_string_to_metric_families(text):
            yield from ((part, sample) for sample in family.samples)


def value(stack: Stack, name: str, **labels: str) -> float:
    """The sum over all parts of the samples that have these labels."""
    return sum(
        sample.value for _, sample in samples(stack) if sample.name == name and labels.items() <= sample.labels.items()
    )


def _text(address: str) -> str:
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        assert response.status == 200
        return response.read().decode()
    finally:
        connection.close()
