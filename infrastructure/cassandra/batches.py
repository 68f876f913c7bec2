"""Many small writes in few requests, each to nodes that hold all of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import NamedTuple, TypeVar

#: Beyond some 50 a larger batch is no cheaper for each row (measured, docs/decisions.md).
ROWS = 50
#: Cassandra refuses batches above 50 KiB (`batch_size_fail_threshold`), but no single row for its size.
BYTES = 24 * 1024

S = TypeVar("S")
K = TypeVar("K")


class Write(NamedTuple):
    """A statement bound to its values: `key` says which partition it goes to, `size` about how many bytes it has."""

    statement: object
    key: bytes
    size: int


def batches(writes: Iterable[Write], replicas_of: Callable[[bytes], Hashable]) -> Iterator[list[Write]]:
    """The writes in portions whose partitions lie on the same replicas, in their order within each replica set."""
    open_: dict[Hashable, tuple[list[Write], int]] = {}
    for write in writes:
        replicas = replicas_of(write.key)
        portion, size = open_.get(replicas, ([], 0))
        if portion and (len(portion) >= ROWS or size + write.size > BYTES):
            yield portion
            portion, size = [], 0
        portion.append(write)
        open_[replicas] = (portion, size + write.size)
    yield from (portion for portion, _ in open_.values())


def grouped(
    keys: Iterable[K], key_bytes: Callable[[K], bytes], replicas_of: Callable[[bytes], Hashable], most: int
) -> Iterator[list[K]]:
    """The keys in portions of at most `most` whose partitions lie on the same replicas."""
    by_replicas: dict[Hashable, list[K]] = {}
    for key in keys:
        by_replicas.setdefault(replicas_of(key_bytes(key)), []).append(key)
    for found in by_replicas.values():
        for first in range(0, len(found), most):
            yield found[first : first + most]
