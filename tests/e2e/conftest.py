"""One set for the tests of a module, as `manage.py up` starts it: with the mailbox."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.catalogue import write_catalogue
from tests.support.stack import QUICK, Stack, pytest_runtest_makereport, running_stack

__all__ = ["pytest_runtest_makereport"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("e2e")
    settings = {**QUICK, "WEBHOOK_ALLOW": "", "LIMIT_USER_CHANNEL": "log=1/s:1", "LIMIT_USER": "600/h"}
    with running_stack(folder, **settings, CATALOGUE=str(write_catalogue(folder))) as stack:
        yield stack
