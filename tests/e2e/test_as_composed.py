"""The set as docker-compose.yml has it: its command lines and environment, but for addresses and passwords.

Every other suite shortens times; here they are as written, and each process's health check is run as a container
engine would.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.support.any_stack import Profile, SharedSets
from tests.support.real_stack import RealStack, running_real_stack
from tests.support.services import running_services
from tests.support.stack_client import ROOT, pytest_runtest_makereport, wait_until

__all__ = ["pytest_runtest_makereport"]

CHECK_S = 60.0
#: What the file leaves to a profile.
OPTIONAL = {"callbacks": 1}
EVENT = {
    "user_id": "user-001",
    "event_type": "security_alert",
    "content": "Suspicious login attempt detected from a new device",
    "metadata": {"device": "Unknown iPhone"},
}


@pytest.fixture(scope="module")
def composed(profile: Profile, sets: SharedSets, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStack]:
    if profile == "embedded":
        pytest.skip("is about the compose file")
    sets.stop()
    with running_real_stack(running_services(), tmp_path_factory.mktemp("composed"), replicas=OPTIONAL) as stack:
        yield stack


def test_the_first_event_arrives(composed: RealStack) -> None:
    answer = composed.post(EVENT)
    assert answer.status == 202
    found = composed.final(answer.json["id"])
    assert {one["channel"]: one["status"] for one in found["deliveries"]} == {
        "email": "sent",
        "in_app": "sent",
        "push": "suppressed",
    }


def test_the_health_check_of_every_process_says_yes(composed: RealStack) -> None:
    checks = composed.checks()
    bridges = {"router", "dispatcher", "tracker", "scheduler", "callbacks"}
    assert {name.rpartition("-")[0] or name for name in checks} >= bridges
    for name, (argv, environ) in checks.items():

        def is_well(argv: list[str] = argv, environ: dict[str, str] = environ) -> bool:
            return subprocess.run(argv, cwd=ROOT, env=environ, capture_output=True, check=False).returncode == 0

        wait_until(is_well, f"the check of {name} says yes", CHECK_S, look_s=1.0)
