"""MariaDB away for a minute: high with known contacts goes on, the rest waits, an opt-out made just before is kept."""

from __future__ import annotations

import time
from typing import Any

from tests.faults.campaign.scene import Scene
from tests.support.stack_client import wait_until

DOWN_S = 60.0
#: High that goes on has to arrive while MariaDB is away.
GOES_ON_S = 30.0
FINAL_S = 60.0
KNOWN = "campaign-known"
OPTED_OUT = "campaign-opted-out"
#: Nobody knows this one: whether there is an address is not known while MariaDB is away.
STRANGER = "campaign-stranger"
OFF = {"channels": {"*": {"email": False}}}
ON: dict[str, Any] = {"channels": {}}

#: What was accepted while it was away, by user: checked when it is back.
_ids: dict[str, str] = {}


def before(scene: Scene) -> None:
    """Two users with contacts, who have been sent something, so that their contacts are known."""
    for user in (KNOWN, OPTED_OUT):
        contact = {"contacts": {"email": f"{user}-{time.monotonic_ns()}@example.com"}, "timezone": "UTC"}
        assert scene.stack.put(f"/api/v1/users/{user}", contact).status in (200, 201)
        assert scene.stack.put(f"/api/v1/users/{user}/preferences", ON).status == 200
    for user in (KNOWN, OPTED_OUT):
        assert scene.stack.final(_posted(scene, user))["status"] == "sent"


def fault(scene: Scene) -> None:
    """The opt-out, and right after it the fault."""
    assert scene.stack.put(f"/api/v1/users/{OPTED_OUT}/preferences", OFF).status == 200
    with scene.down("mariadb"):
        until_s = time.monotonic() + scene.seconds(DOWN_S)
        for user in (KNOWN, OPTED_OUT):
            _ids[user] = _posted(scene, user)
        _ids["low"] = _posted(scene, KNOWN, options={"priority": "low", "channels": ["email"]})
        _ids[STRANGER] = _posted(scene, f"{STRANGER}-{time.monotonic_ns()}")
        shown = scene.stack.final(_ids[KNOWN], min(GOES_ON_S, scene.seconds(DOWN_S)))
        assert shown["status"] == "sent", shown
        shown = scene.stack.final(_ids[OPTED_OUT], min(GOES_ON_S, scene.seconds(DOWN_S)))
        assert _state(shown) == ("suppressed", "preference_off"), shown
        time.sleep(max(0.0, until_s - time.monotonic()))
        for waits in ("low", STRANGER):
            shown = scene.stack.get(f"/api/v1/notifications/{_ids[waits]}").json
            assert shown["status"] == "accepted", shown


def check(scene: Scene) -> None:
    """What waited is sent now, and the opt-out holds."""
    wait_until(lambda: scene.stack.get(f"/api/v1/users/{KNOWN}").status == 200, "SQL answers")
    assert scene.stack.final(_ids["low"], FINAL_S)["status"] == "sent"
    assert _state(scene.stack.final(_ids[STRANGER], FINAL_S))[1] == "no_address"
    assert _state(scene.stack.final(_posted(scene, OPTED_OUT)))[0] == "suppressed"


def _posted(scene: Scene, user: str, **given: Any) -> str:
    event = {
        "user_id": user,
        "event_type": "load_high",
        "content": "Something happened",
        "options": {"priority": "high", "channels": ["email"]},
    } | given
    answer = scene.stack.post(event)
    assert answer.status == 202, answer
    return str(answer.json["id"])


def _state(shown: Any) -> tuple[str, str]:
    [delivery] = shown["deliveries"]
    return delivery["status"], delivery["reason"]
