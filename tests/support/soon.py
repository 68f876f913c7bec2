"""That something which hangs holds nobody up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

#: What hangs does so for longer than this; what it does not hold up takes a small part of it, on a busy machine too.
SOON_S = 10.0


@contextmanager
def soon(what: str) -> Iterator[None]:
    """Fails where the block takes as long as what hangs does."""
    started_s = time.monotonic()
    yield
    assert time.monotonic() - started_s < SOON_S, f"{what} was held up"
