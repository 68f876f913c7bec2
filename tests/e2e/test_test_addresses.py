"""Test addresses in a running set of either profile, on channels with and without a provider; a chat's URL, sealed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.stack_client import StackClient

ADDRESSES = {
    "email": {"email": "{}@simulator.invalid"},
    "push": {"push": "simulator-{}"},
    "webhook": {"webhook": "https://{}.simulator.invalid/"},
    "chat": {"chat": "simulator://{}"},
}
TOKEN = "JHMHI8qBe7bk2ZwO5U711o3dV_js"


def sent(stack: StackClient, channel: str, to: dict[str, str], **given: Any) -> Any:
    """The only delivery of an event to this address, when it has ended."""
    options = {"channels": [channel], "to": to}
    answer = stack.post({"user_id": "tester", "event_type": "load_high", "content": "x", "options": options} | given)
    assert answer.status == 202, answer
    [delivery] = stack.final(answer.json["id"])["deliveries"]
    return delivery


@pytest.mark.parametrize(("word", "status"), [("success", "sent"), ("bounce", "failed")])
@pytest.mark.parametrize("channel", [*ADDRESSES, "sms"])
def test_each_channel_answers_test_addresses(stack: StackClient, channel: str, word: str, status: str) -> None:
    number = {"phone": "+15005550100" if word == "success" else "+15005550101"}
    given = {name: form.format(word) for name, form in ADDRESSES.get(channel, number).items()}
    delivery = sent(stack, channel, given)
    assert delivery["status"] == status
    assert {outcome["provider"] for outcome in delivery["outcomes"]} == {"test"}


def test_a_device_with_a_dead_test_token_is_removed(stack: StackClient) -> None:
    devices = "/api/v1/users/tester-2/devices"
    for word in ("success", "bounce"):
        body = {"platform": "apns", "token": f"simulator-{word}-e2e"}
        assert stack.request("POST", devices, json.dumps(body).encode()).status in (200, 201)
    options = {"channels": ["push"]}
    event = {"user_id": "tester-2", "event_type": "load_high", "content": "x", "options": options}
    assert stack.final(stack.post(event).json["id"])["status"] == "sent"
    assert len(stack.get(devices).json["items"]) == 1


def test_a_chats_url_is_in_no_store_and_in_no_answer(stack: StackClient) -> None:
    """Of a service that is allowed, and a URL that is refused before anybody is asked."""
    url = f"discord://4174216298/{TOKEN}?template=x"
    put = stack.put("/api/v1/users/tester-3", {"contacts": {"chat": url}})
    inline = sent(stack, "chat", {"chat": url})
    event = {"user_id": "tester-3", "event_type": "load_high", "content": "x", "options": {"channels": ["chat"]}}
    shown = stack.final(stack.post(event).json["id"])
    [stored] = shown["deliveries"]
    assert [one["reason"] for one in (inline, stored)] == ["forbidden_address"] * 2
    assert TOKEN not in f"{put.json} {shown} {inline} {stack.get('/api/v1/users/tester-3').json}"
    assert TOKEN.encode() not in stack.stored()
    assert TOKEN not in "".join(stack.all_logs().values())
