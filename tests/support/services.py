"""The real services for tests: those that `make services` started. Skips without them, fails in CI."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infrastructure.services import kafka, mariadb
from infrastructure.services.layout import HOST, Layout
from infrastructure.services.services import all_services

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("SERVICES_FOLDER", ROOT / ".services"))  # noqa: TID251 - the services' own setting


class RealServices:
    """Addresses of the running services; `layout` and `all_services` start, stop and break them."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.kafka = kafka.bootstrap(layout)
        #: SQLAlchemy URL of the server, without a database.
        self.database = mariadb.url(layout)
        self.redis_broker = f"redis://{HOST}:{layout.redis_broker_port}/0"
        self.redis_state = f"redis://{HOST}:{layout.redis_state_port}/0"
        self.cassandra = f"{HOST}:{layout.cassandra_port}"


def running_services() -> RealServices:
    """The services, all of which answer; skips the test otherwise, and fails it in CI."""
    layout = Layout.load(FOLDER)
    away = [name for name, one in all_services(layout).items() if not one.is_up()] if layout else ["all of them"]
    if layout is None or away:
        missing = f"the real services do not answer ({', '.join(away)}): make services"
        if os.environ.get("CI"):  # noqa: TID251 - set by CI, no setting of ours
            pytest.fail(missing)
        pytest.skip(missing)
    return RealServices(layout)


@pytest.fixture(scope="session")
def services() -> RealServices:
    return running_services()
