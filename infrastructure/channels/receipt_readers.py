"""Port ReceiptReaders: the providers of the settings' file that report, as far as it says how they sign."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from app.domain.ports import ReceiptReader
from app.settings import Settings


class ConfiguredReceiptReaders:
    """The port. The file is read when the first report comes. Threads may share it."""

    def __init__(self, settings: Settings, fetch: Callable[[str], bytes] | None = None) -> None:
        """`fetch` is how what SNS points to is read."""
        self._settings = settings
        self._fetch = fetch

    def of(self, provider: str) -> ReceiptReader | None:
        """See `app.domain.ports.ReceiptReaders`."""
        return self._readers.get(provider)

    @functools.cached_property
    def _readers(self) -> Mapping[str, ReceiptReader]:
        # Only here: the providers take memory, and most HTTP processes never hear of them.
        from infrastructure.channels.configured import entries_of, reader_of
        from infrastructure.channels.sns_fetch import SnsFetch

        fetch = self._fetch or SnsFetch(self._settings)
        made = {entry.name: reader_of(entry, self._settings, fetch) for entry in entries_of(self._settings)}
        return {name: reader for name, reader in made.items() if reader is not None}
