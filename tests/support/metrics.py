"""What all processes of a running set show on their `/metrics`."""

from __future__ import annotations

import http.client
from collections.abc import Collection, Iterator

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.support.stack_client import StackClient


def texts(stack: StackClient, but: Collection[str] = ()) -> dict[str, str]:
    """Address -> what the process there shows; those of the parts `but` are not asked."""
    return {address: text for _, address, text in _texts(stack, but)}


def samples(stack: StackClient, but: Collection[str] = ()) -> Iterator[tuple[str, Sample]]:
    """(part, sample) of all processes."""
    for part, _, text in _texts(stack, but):
        for family in text_string_to_metric_families(text):
            yield from ((part, sample) for sample in family.samples)


def value(stack: StackClient, name: str, **labels: str) -> float:
    """The sum over all processes of the samples that have these labels."""
    return sum(
        sample.value for _, sample in samples(stack) if sample.name == name and labels.items() <= sample.labels.items()
    )


def _texts(stack: StackClient, but: Collection[str]) -> Iterator[tuple[str, str, str]]:
    for part, address in stack.metrics_targets():
        if part not in but:
            yield part, address, _text(address)


def _text(address: str) -> str:
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        assert response.status == 200
        return response.read().decode()
    finally:
        connection.close()
