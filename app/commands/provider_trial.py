"""One real message by one provider, outside the pipeline: no claim, no outcome, no breaker, no other provider."""

from __future__ import annotations

import time
import uuid
from typing import Any, Final

import click

from app.commands.provider_table import Named
from app.domain.clock import now_ms
from app.domain.errors import DeliveryError, PermanentError
from app.domain.lane import Lane, Priority
from app.domain.ports import Message, Receipt
from app.settings import Settings
from infrastructure import wiring
from tasks.measured_channels import result_of

_SUBJECT: Final = "Test message"


def try_out(one: Named, address: str, config: Settings) -> dict[str, Any]:
    """Send it, and what came of it (`result` ok: it was taken), without the address.

    Raises ClickException where its rate has no room.
    """
    provider, rate = one.provider, one.provider.terms.rate
    lane = Lane(Priority.HIGH, one.channel)
    if rate and (wait_s := wiring.provider_rates(config).take(provider.name, rate, lane, 1)):
        raise click.ClickException(f"{provider.name} has no room for a call: its rate is {rate}; in {wait_s:.1f} s")
    started_s = time.monotonic()
    answer = _answer(one, address)
    told = {
        "provider": provider.name,
        "channel": one.channel,
        "result": result_of(answer),
        "provider_id": answer.provider_id if isinstance(answer, Receipt) else "",
        "detail": answer.detail if isinstance(answer, DeliveryError) else "",
        "duration_ms": round(1000 * (time.monotonic() - started_s)),
    }
    provider.close()
    return told


def _answer(one: Named, address: str) -> Receipt | Exception:
    try:
        checked = one.provider.check_address(address)
    except PermanentError as error:
        return error
    test_id = str(uuid.uuid4())
    message = Message(
        delivery_id=test_id,
        notification_id=test_id,
        user_id=checked,
        event_type="provider_test",
        category="test",
        address=checked,
        subject=_SUBJECT,
        text=f"This is a test of {one.provider.name}. Nothing is to be done.",
        html="",
        metadata={},
        created_at_ms=now_ms(),
    )
    [answer] = one.provider.send([message], one.provider.timeout_s)
    return answer
