"""The service with its clock standing still: an event explained, then let happen."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import pytest
from msgspec import structs
from redis import Redis

from app.domain import event_rules
from app.domain.catalogue import Catalogue
from app.domain.codec import encode
from app.domain.delivery import Delivery
from app.domain.event import Event
from app.domain.event_rules import read_event
from app.domain.limit_rules import LaneLimitTable, UserRates, lane_limits, user_rates
from app.domain.local_limits import LocalLimits
from app.domain.ports import (
    Charged,
    LimitsSeen,
    Message,
    Pace,
    Provider,
    Receipt,
    UserCharge,
)
from app.domain.rfc3339 import rfc3339
from app.explain.explainer import NO_ID
from app.explain.explanation import Foreseen
from bridges.routing import route
from infrastructure.kafka.event_log import headers_of
from infrastructure.kafka.records import Record
from infrastructure.redis.lane_limits import RedisLaneLimits
from infrastructure.redis.limit_book import RedisLimitBook
from infrastructure.redis.user_limits import RedisUserLimits
from tasks import check_preferences, deliver, limit_rate, validate
from tests.support.chain import Chain, ScriptedChannels
from tests.support.deliveries import raw_record
from tests.support.explained_events import CHANNELS, MAX_TTL_S, World
from tests.support.explaining import explainer_of_steps

STEPS = (validate.validate, check_preferences.check_preferences, limit_rate.limit_rate, deliver.deliver)
_users = itertools.count()


class Healthy:
    """A channel's own provider, but whatever it is handed, it takes."""

    def __init__(self, real: Provider) -> None:
        self._real = real
        self.name, self.timeout_s, self.terms = real.name, real.timeout_s, real.terms
        self.taken: list[Message] = []

    def send(self, messages: Sequence[Message], timeout_s: float) -> list[Receipt | Exception]:
        self.taken += messages
        return [Receipt()] * len(messages)

    def check_address(self, address: str) -> str:
        return self._real.check_address(address)

    def breaker_key(self, address: str) -> str:
        return self._real.breaker_key(address)

    def close(self) -> None:
        self._real.close()


class StillLimits:
    """The three Redis adapters at one moment."""

    def __init__(self, client: Redis, lanes: LaneLimitTable, users: UserRates, now_us: int) -> None:
        self._lanes, self._users = RedisLaneLimits(client, lanes), RedisUserLimits(client, users)
        self._book, self._now_us = RedisLimitBook(client), now_us

    def ask(self, queue: str, wanted: int) -> Pace:
        return self._lanes.ask(queue, wanted, now_us=self._now_us)

    def charge(self, wanted: Sequence[UserCharge], *, owner: str) -> list[Charged]:
        return self._users.charge(wanted, owner=owner, now_us=self._now_us)

    def peek(self, keys: Sequence[str]) -> LimitsSeen:
        return self._book.peek(keys, now_us=self._now_us)


Limits = StillLimits | LocalLimits


class Stage:
    """The service with its clock standing still, set up as a world says."""

    def __init__(self, chain: Chain, client: Redis, world: World, *, is_local: bool) -> None:
        client.flushdb()
        self.world, self._chain, self._client = world, chain, client
        self.user_id = f"user-{next(_users)}"
        users = user_rates(world.user_rate, world.channel_rates)
        lanes = lane_limits(
            everything=world.everything,
            channel={"email": world.email_rate} if world.email_rate else {},
            priority={"medium": world.priority_rate} if world.priority_rate else {},
            share_high=0.2,
            share_low=0.1,
        )
        now_us = world.now_ms * 1000
        self.limits: Limits = (
            LocalLimits(lanes, users, lambda: now_us) if is_local else StillLimits(client, lanes, users, now_us)
        )
        self.catalogue = Catalogue(rules={"kind": world.rule}, default=world.rule, max_ttl_s=MAX_TTL_S)
        self._given = chain.context
        self.providers = {name: Healthy(real) for name in CHANNELS for real in self._given.channels.providers(name)}
        self.context = dataclasses.replace(
            self._given,
            catalogue=self.catalogue,
            channels=ScriptedChannels(self._given.channels, {name: [one] for name, one in self.providers.items()}),
            user_limits=self.limits,
            now_ms=lambda: world.now_ms,
        )
        self._store()
        self.explainer = explainer_of_steps(self.context, self.limits, users, lanes)

    def _store(self) -> None:
        world = self.world
        if world.is_stored:
            self.context.users.put(world.user(self.user_id))
        if world.preferences is not None:
            self.context.preferences.put(self.user_id, world.preferences)
        for number, channel in enumerate(world.charged):
            before = UserCharge(
                delivery_id=f"before-{number}",
                user_id=self.user_id,
                channel=channel,
                expires_at_ms=world.now_ms + 10**9,
                may_park=True,
            )
            self.limits.charge([before], owner="test")
        for queue in world.asked:
            self.limits.ask(queue, 1)

    def _event(self) -> Event:
        return Event(user_id=self.user_id, event_type="kind", content="Something", options=self.world.options)

    def _accepted(self) -> list[Delivery]:
        """The event through intake's reading and the router."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(event_rules, "now_ms", lambda: self.world.now_ms)
            checked = read_event(encode(self._event()), self.catalogue)
        headers = headers_of(raw_record(id=NO_ID, event_type="kind", accepted_at_ms=self.world.now_ms))
        record = Record("notifications.raw", 0, 0, self.user_id, checked.body, headers)
        return route(record, self.catalogue, self.world.now_ms).deliveries

    def _decided(self, one: Delivery) -> Foreseen:
        """What the steps decide for a delivery, alone in its batch."""
        self._chain.context = self.context
        batch = self._chain.batch(one)
        self._chain.context = self._given
        for step in STEPS:
            batch = step(batch, self.context)
        [item] = batch.items
        assert item.verdict is not None
        assert item.verdict.open is None, item.verdict
        until_ms = item.verdict.until_at_ms
        return Foreseen(
            status=item.verdict.status.value,
            reason=item.verdict.reason,
            detail=item.verdict.detail,
            until=rfc3339(until_ms) if until_ms else None,
        )

    def _happened(self) -> dict[str, Foreseen]:
        """What becomes of the deliveries: the lanes' limits first, and what they hold goes last."""
        held: dict[str, Foreseen] = {}
        deliveries = self._accepted()
        for one in deliveries:
            pace = self.limits.ask(one.lane.queue, 1)
            if not pace.granted:
                until_us = self.world.now_ms * 1000 + round(pace.retry_after_s * 1_000_000)
                until = rfc3339(-(-until_us // 1000))
                held[one.channel] = Foreseen(status="held", reason="lane_limit", until=until)
        going = [one for one in deliveries if one.channel not in held]
        found = {one.channel: self._decided(one) for one in going}
        for one in deliveries:
            if one.channel in held:
                found[one.channel] = structs.replace(held[one.channel], then=self._decided(one))
        return found

    def agree(self) -> list[str]:
        """Explain the event twice, then let it happen; the kinds of verdict there were."""
        before = self._everything_stored()
        explained = self.explainer.explain(self._event())
        assert self.explainer.explain(self._event()) == explained, "explaining changes nothing"
        assert self._everything_stored() == before
        assert not any(provider.taken for provider in self.providers.values())

        happened = self._happened()
        assert {one.channel: one.verdict for one in explained.deliveries} == happened
        for one in explained.deliveries:
            for message in self.providers[one.channel].taken if one.channel in self.providers else ():
                assert (message.subject, message.text) == (one.content.subject, one.content.text)
        all_of_them = [one for verdict in happened.values() for one in (verdict, verdict.then) if one is not None]
        return [f"{one.status} {one.reason}".strip() for one in all_of_them]

    def _everything_stored(self) -> dict[str, str | None]:
        return {key: self._client.get(key) for key in self._client.keys("*")}
