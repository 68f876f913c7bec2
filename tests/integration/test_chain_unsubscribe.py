"""The link in a mail that the chain sends, followed: the next delivery of its category is suppressed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import flask
import pytest

from app.domain.delivery import Delivery
from app.domain.event import Options, To
from app.domain.ports import Message
from app.domain.unsubscribe import UnsubscribeLinks
from app.http import unsubscribe
from infrastructure import wiring
from infrastructure.channels.email import EmailProvider
from tests.support.chain import Chain, ScriptedProvider
from tests.support.deliveries import delivery
from tests.support.smtp_receiver import SmtpReceiver, smtp_receiver

ROOT = "https://notify.example.com"


class Published:
    """Of the services as much as the link needs: real preferences, and where the service is reached."""

    def __init__(self, chain: Chain) -> None:
        settings = chain.context.settings
        self.secret, self.preferences = wiring.secret(settings), wiring.preferences(settings)
        self.settings = type("Reached", (), {"public_url": ROOT})


@pytest.fixture
def smtp(chain: Chain) -> Iterator[SmtpReceiver]:
    chain.using(unsubscribe=UnsubscribeLinks(wiring.secret(chain.context.settings), ROOT))
    with smtp_receiver() as receiver:
        provider = EmailProvider(chain.context.settings, receiver.url)
        chain.provide("email", provider)
        yield receiver
        provider.close()


def to(**given: Any) -> Delivery:
    return delivery(channel="email", options=Options(to=To(email="anna@example.com")), **given)


def link_of(smtp: SmtpReceiver) -> str | None:
    content = smtp.mails[-1].content
    assert isinstance(content, bytes)
    found = re.search(rb"^List-Unsubscribe: <(.+)>\r$", content, re.MULTILINE)
    return found[1].decode() if found else None


def test_the_link_of_a_mail_turns_its_category_off(chain: Chain, smtp: SmtpReceiver) -> None:
    assert chain.run(to()).told == [("sent", "")]
    link = link_of(smtp)
    assert link is not None
    app = flask.Flask(__name__)
    app.register_blueprint(unsubscribe.blueprint(Published(chain)))  # type: ignore[arg-type]
    assert app.test_client().get(link.removeprefix(ROOT)).status_code == 200
    assert chain.run(to()).told == [("sent", "")], "looking at it is nothing"
    assert app.test_client().post(link.removeprefix(ROOT)).status_code == 200
    assert chain.run(to(), to()).told == [("suppressed", "preference_off")] * 2
    assert chain.run(to(event_type="critical")).told == [("sent", "")]


def test_what_is_critical_has_no_link(chain: Chain, smtp: SmtpReceiver) -> None:
    assert chain.run(to(event_type="critical")).told == [("sent", "")]
    assert link_of(smtp) is None


def test_unless_the_service_is_reached_by_https_there_is_no_link(chain: Chain, smtp: SmtpReceiver) -> None:
    chain.using(unsubscribe=UnsubscribeLinks(b"secret", chain.context.settings.public_url))
    chain.run(to())
    assert link_of(smtp) is None


def test_other_channels_have_no_link(chain: Chain, smtp: SmtpReceiver) -> None:
    seen: list[Message] = []
    provider = ScriptedProvider()
    provider.during = seen.append
    chain.provide("webhook", provider)
    chain.run(delivery(channel="webhook", options=Options(to=To(webhook="https://a@example.com/"))))
    assert [one.unsubscribe_url for one in seen] == [""]
