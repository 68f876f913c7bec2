"""A set of either profile, and sets of one profile that tests share, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Literal

import pytest

from tests.support.catalogue import write_catalogue
from tests.support.real_stack import running_real_stack
from tests.support.services import running_services
from tests.support.stack import QUICK, running_stack
from tests.support.stack_client import StackClient

Profile = Literal["embedded", "real"]
PROFILES: Final[tuple[Profile, ...]] = ("embedded", "real")
#: Less than the compose file says, so that a set is there sooner; two dispatchers have to share the partitions.
REPLICAS: Final[Mapping[str, int]] = {"router": 1, "dispatcher": 2, "tracker": 1, "scheduler": 1}


@contextmanager
def running_set(profile: Profile, folder: Path, **settings: str) -> Iterator[StackClient]:
    """A set until the end of the block, quick unless `settings` say otherwise, with the catalogue of these tests.

    Nothing of it is left, also where the block fails. Skips the test where the profile is real and its services are
    not there (fails it in CI).
    """
    given = {**QUICK, "CATALOGUE": str(write_catalogue(folder)), **settings}
    if profile == "embedded":
        with running_stack(folder, **given) as embedded:
            yield embedded
        return
    services = running_services()
    # As `up` does by itself: without keys nobody has callbacks.
    replicas = {**REPLICAS, "callbacks": 1} if given.get("HTTP_AUTH") == "keys" else REPLICAS
    with running_real_stack(services, folder, replicas=replicas, **given) as real:
        yield real


class SharedSets:
    """Starts a set when another is asked for than the one that runs: starting takes longer than most tests."""

    def __init__(self, profile: Profile, factory: pytest.TempPathFactory) -> None:
        self.profile = profile
        self._factory = factory
        self._settings: dict[str, str] | None = None
        self._set: StackClient | None = None
        self._exit = ExitStack()

    def running(self, **settings: str) -> StackClient:
        """The set that runs with these settings; one that ran with others is stopped before."""
        if self._set is None or self._settings != settings or not self._set.is_running:
            self.stop()
            folder = self._factory.mktemp(self.profile)
            self._set = self._exit.enter_context(running_set(self.profile, folder, **settings))
            self._settings = settings
        return self._set

    def stop(self) -> None:
        """Stop the one that runs."""
        self._set = None
        self._exit.close()
