"""A phone of each kind and a browser, each by its own push service, in one delivery through the chain."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from app.domain.device import Device
from app.domain.device_rules import normal_token
from app.domain.lane import Priority
from app.domain.outcome import Outcome
from app.domain.provider_file import ApnsEntry, FcmEntry, WebPushEntry
from infrastructure.channels.apns import ApnsProvider
from infrastructure.channels.fcm import FcmProvider
from infrastructure.channels.vapid import new_key_pair
from infrastructure.channels.web_push import WebPushProvider
from tests.support.apns_stand_in import KEY, KEY_ID, TEAM_ID, TOPIC, ApnsStandIn, apns_stand_in, drop, refused
from tests.support.browser import Browser
from tests.support.certificate import make_certificate
from tests.support.chain import Chain, Ran
from tests.support.deliveries import delivery
from tests.support.fcm_stand_in import FcmStandIn, fcm_stand_in
from tests.support.google_account import account
from tests.support.webhook_receiver import WebhookReceiver, status, webhook_receiver

PIXEL, IPHONE, IPAD = "pixel-token", "aa" * 32, "bb" * 32


class World:
    """The push services, and what is told of a user's devices by their names."""

    def __init__(self, chain: Chain, google: FcmStandIn, apple: ApnsStandIn, browsers: WebhookReceiver) -> None:
        self.chain, self.google, self.apple, self.browsers = chain, google, apple, browsers
        self.firefox = Browser(f"https://127.0.0.1:{browsers.port}/firefox")

    def register(self, name: str, platform: Any, token: str) -> None:
        stored = normal_token(platform, token)
        device = Device(id=name, user_id="anna", platform=platform, token=stored, registered_at_ms=1)
        self.chain.context.devices.register(device, 9)

    def left(self) -> list[str]:
        return sorted(one.id for one in self.chain.context.devices.of_user("anna"))


@pytest.fixture
def world(chain: Chain, tmp_path: Path) -> Iterator[World]:
    certificate = make_certificate(tmp_path)
    settings = dataclasses.replace(chain.context.settings, webhook_allow="127.0.0.1/32", provider_timeout_s=2.0)
    with ExitStack() as stack:
        google = stack.enter_context(fcm_stand_in())
        apple = stack.enter_context(apns_stand_in(certificate.server))
        browsers = stack.enter_context(webhook_receiver(certificate.another_server()))
        providers = [
            FcmProvider(FcmEntry(name="fcm", service_account="", url=google.url), account(google.url), settings),
            ApnsProvider(
                ApnsEntry(name="apns", key="", key_id=KEY_ID, team_id=TEAM_ID, topic=TOPIC, url=apple.url),
                KEY,
                settings,
                certificate.client,
            ),
            WebPushProvider(
                WebPushEntry(name="browsers", private_key="", subject="mailto:ops@example.com"),
                new_key_pair().private,
                settings,
                certificate.another_client(),
            ),
        ]
        chain.provide("push", *providers)
        made = World(chain, google, apple, browsers)
        made.register("pixel", "fcm", PIXEL)
        made.register("iphone", "apns", IPHONE)
        made.register("firefox", "webpush", made.firefox.token)
        yield made
        for provider in providers:
            provider.close()


def only(ran: Ran) -> Outcome:
    [outcome] = ran.outcomes
    assert not [one for one in (PIXEL, IPHONE, IPAD, "firefox/", "127.0.0.1") if one in outcome.detail]
    return outcome


def test_each_device_is_reached_by_its_own_push_service(world: World) -> None:
    one = delivery(channel="push", user_id="anna", priority=Priority.HIGH)
    outcome = only(world.chain.run(one))
    assert (outcome.status, outcome.attempt) == ("sent", 3)
    assert outcome.detail == "3 of 3 devices took it: firefox sent; iphone sent; pixel sent"
    [by_google], [by_apple], [by_browser] = world.google.sent, world.apple.sent, world.browsers.requests
    read = world.firefox.read(by_browser.body)
    titles = {
        by_google.message["notification"]["title"],
        by_apple.payload["aps"]["alert"]["title"],
        read["notification"]["title"],
    }
    assert len(titles) == 1
    assert by_apple.headers["apns-collapse-id"] == read["notification"]["tag"] == one.id
    assert by_apple.headers["apns-priority"] == "10"
    assert by_browser.headers["urgency"] == "high"
    left_s = one.expires_at_ms // 1000 - int(by_apple.headers["apns-expiration"])
    assert left_s == 0
    assert int(by_browser.headers["ttl"]) > 0


@pytest.mark.parametrize("code", [404, 410])
def test_what_is_gone_is_removed_and_what_may_be_a_wrong_setting_is_not(world: World, code: int) -> None:
    world.apple.dead.add(IPHONE)
    world.register("ipad", "apns", IPAD)
    world.apple.by_token[IPAD] = deque([refused(400, "DeviceTokenNotForTopic")])
    world.browsers.then(status(code))
    outcome = only(world.chain.run(delivery(channel="push", user_id="anna")))
    assert outcome.status == "sent"
    assert "firefox removed (unregistered, HTTP" in outcome.detail
    assert "iphone removed (unregistered, HTTP 410, Unregistered)" in outcome.detail
    assert "ipad failed (provider_rejected, HTTP 400, DeviceTokenNotForTopic" in outcome.detail
    assert world.left() == ["ipad", "pixel"]


def test_one_that_is_throttled_waits_alone_and_the_others_are_not_called_again(world: World) -> None:
    world.apple.answers.append(refused(429, "TooManyRequests", retry_after="30"))
    ran = world.chain.run(delivery(channel="push", user_id="anna"))
    assert ran.told == [("parked", "provider_throttled")]
    [row] = world.chain.parked()
    assert row.delivery.retries == 0
    ran = world.chain.run(row.delivery.next_pass())
    assert ran.told == [("sent", "")]
    assert (len(world.google.sent), len(world.apple.sent), len(world.browsers.requests)) == (1, 2, 1)
    first, second = (one.headers["apns-id"] for one in world.apple.sent)
    assert first == second


def test_a_push_service_whose_breaker_has_opened_parks_its_devices_and_no_others(world: World) -> None:
    down = [delivery(channel="push", user_id="anna") for _ in range(8)]
    world.apple.answers.extend([refused(503, "ServiceUnavailable")] * 99)
    reasons = {world.chain.run(one).told[0] for one in down}
    assert reasons == {("parked", "provider_transient"), ("parked", "breaker_open")}
    assert len(world.apple.sent) == 5, "then nobody asks it"
    assert (len(world.google.sent), len(world.browsers.requests)) == (8, 8)


def test_a_cut_connection_is_in_doubt_for_its_device_alone(world: World) -> None:
    world.apple.answers.append(drop)
    outcome = only(world.chain.run(delivery(channel="push", user_id="anna", event_type="unsure")))
    assert outcome.status == "sent"
    assert "iphone unknown (in_doubt, no answer)" in outcome.detail
