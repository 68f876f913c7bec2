"""Email against a real SMTP server that refuses, hangs and drops at every step."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import cast

import pytest

from app.domain.errors import (
    ConfigError,
    InDoubtError,
    PermanentError,
    ProviderTimeoutError,
    TransientError,
)
from app.domain.ports import Receipt
from app.settings import Settings
from infrastructure.channels.email import EmailProvider
from tests.support.certificate import Certificate, make_certificate
from tests.support.messages import message
from tests.support.smtp_receiver import DROP, HALF, HANG, SmtpReceiver, smtp_receiver
from tests.support.soon import soon

TIMEOUT_S = 5.0


@pytest.fixture
def smtp() -> Iterator[SmtpReceiver]:
    with smtp_receiver() as receiver:
        yield receiver


Make = Callable[..., EmailProvider]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[EmailProvider] = []

    def provider(url: str, **given: object) -> EmailProvider:
        made.append(EmailProvider(dataclasses.replace(Settings(), smtp_url=url, **given)))
        return made[-1]

    yield provider
    for one in made:
        one.close()


def send(provider: EmailProvider, timeout_s: float = TIMEOUT_S, **given: object) -> Receipt | Exception:
    return provider.send([message(**given)], timeout_s)[0]


def parsed(smtp: SmtpReceiver, index: int = -1) -> EmailMessage:
    return cast("EmailMessage", message_from_bytes(cast("bytes", smtp.mails[index].content), policy=policy.default))


def test_a_mail_arrives_with_text_and_html(smtp: SmtpReceiver, make: Make) -> None:
    text = "Grüße\n.\n..dots\nFrom here"
    assert send(make(smtp.url), subject="Größe", text=text, html="<p>Grüße</p>") == Receipt(provider_id="Q1")
    mail = parsed(smtp)
    assert smtp.mails[0].rcpt_tos == ["user@example.com"]
    assert smtp.mails[0].mail_from == "notify@localhost"
    assert mail["Subject"] == "Größe"
    assert mail["To"] == "user@example.com"
    assert mail["From"] == "Notify <notify@localhost>"
    assert mail["Date"] == "Fri, 22 Nov 2024 10:06:40 +0000"
    assert mail.get_content_type() == "multipart/alternative"
    assert mail.get_body(("plain",)).get_content().splitlines() == text.splitlines()
    assert mail.get_body(("html",)).get_content().strip() == "<p>Grüße</p>"


def test_what_is_written_to_the_wire_is_ascii_with_crlf(smtp: SmtpReceiver, make: Make) -> None:
    send(make(smtp.url), subject="Größe " * 30, text="ü" * 2000 + "\r\rx\n\ny", html="")
    content = cast("bytes", smtp.mails[0].content)
    assert content.isascii()
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert b"\r" not in content.replace(b"\r\n", b"")
    assert max(map(len, content.split(b"\r\n"))) <= 998


def test_the_message_id_is_the_same_over_tries(smtp: SmtpReceiver, make: Make) -> None:
    smtp.then("end", "451 later")
    provider = make(smtp.url, email_from="Notify <no-reply@mail.example.com>")
    assert isinstance(send(provider, delivery_id="d-7"), TransientError)
    send(provider, delivery_id="d-7")
    send(provider, delivery_id="d-7")
    assert [mail["Message-ID"] for mail in (parsed(smtp, 0), parsed(smtp, 1))] == ["<d-7@mail.example.com>"] * 2


def test_one_connection_and_four_commands_a_mail(smtp: SmtpReceiver, make: Make) -> None:
    provider = make(smtp.url)
    for _ in range(5):
        assert isinstance(send(provider), Receipt)
    assert smtp.connections == 1
    assert smtp.commands == ["mail", "rcpt", "data", "end"] * 5


@pytest.mark.parametrize("step", ["mail", "rcpt", "data", "end"])
@pytest.mark.parametrize(("reply", "kind"), [("451 try later", TransientError), ("550 user@x is not", PermanentError)])
def test_a_refusal_at_any_step_counts_by_its_code_and_quotes_no_text(
    smtp: SmtpReceiver, make: Make, step: str, reply: str, kind: type[Exception]
) -> None:
    smtp.then(step, reply)
    provider = make(smtp.url)
    result = send(provider)
    assert type(result) is kind
    assert reply[:3] in str(result)
    assert "user" not in str(result)
    assert isinstance(send(provider), Receipt)
    assert (smtp.connections, len(smtp.mails)) == (1, 1)


def test_a_server_that_asks_for_a_login_says_nothing_of_the_message(smtp: SmtpReceiver, make: Make) -> None:
    smtp.then("mail", "530 authentication required")
    assert type(send(make(smtp.url))) is TransientError


@pytest.mark.parametrize("step", ["mail", "rcpt", "data"])
@pytest.mark.parametrize("behaviour", [DROP, "421 closing"])
def test_a_new_connection_lost_before_the_end_of_data_is_transient(
    smtp: SmtpReceiver, make: Make, step: str, behaviour: str
) -> None:
    smtp.then(step, behaviour)
    provider = make(smtp.url)
    assert isinstance(send(provider), TransientError)
    assert isinstance(send(provider), Receipt)
    assert len(smtp.mails) == 1


def test_a_connection_lost_half_way_through_the_text_is_transient(smtp: SmtpReceiver, make: Make) -> None:
    smtp.then("data", HALF)
    provider = make(smtp.url)
    result = send(provider, text="x" * 20_000_000, html="")
    assert isinstance(result, TransientError)
    assert smtp.mails == []


@pytest.mark.parametrize("behaviour", [DROP, HANG, "nonsense"])
def test_no_answer_after_the_final_dot_is_in_doubt(smtp: SmtpReceiver, make: Make, behaviour: str) -> None:
    smtp.then("end", behaviour)
    provider = make(smtp.url)
    assert isinstance(send(provider, timeout_s=0.5), InDoubtError)
    assert isinstance(send(provider), Receipt)


@pytest.mark.parametrize("step", ["mail", "rcpt", "data"])
def test_a_server_that_hangs_before_it_is_a_time_out(smtp: SmtpReceiver, make: Make, step: str) -> None:
    smtp.then(step, HANG)
    provider = make(smtp.url)
    started_s = time.monotonic()
    with soon("the call"):
        assert isinstance(send(provider, timeout_s=0.3), ProviderTimeoutError)
    assert time.monotonic() - started_s > 0.25
    assert isinstance(send(provider), Receipt)


@pytest.mark.parametrize("behaviour", [DROP, "421 idle too long"])
def test_a_kept_connection_that_is_dead_is_replaced_at_once(smtp: SmtpReceiver, make: Make, behaviour: str) -> None:
    provider = make(smtp.url)
    send(provider)
    smtp.then("mail", behaviour)
    assert isinstance(send(provider), Receipt)
    assert (smtp.connections, len(smtp.mails)) == (2, 2)


def test_it_is_replaced_once_only(smtp: SmtpReceiver, make: Make) -> None:
    provider = make(smtp.url)
    send(provider)
    smtp.then("mail", DROP, DROP)
    assert isinstance(send(provider), TransientError)
    assert smtp.connections == 2


def test_a_kept_connection_lost_later_in_the_message_is_not_tried_again(smtp: SmtpReceiver, make: Make) -> None:
    provider = make(smtp.url)
    send(provider)
    smtp.then("rcpt", DROP)
    assert isinstance(send(provider), TransientError)
    assert smtp.connections == 1


def test_a_server_that_hung_up_while_idle_costs_nothing() -> None:
    with smtp_receiver(idle_s=0.1) as smtp:
        provider = EmailProvider(dataclasses.replace(Settings(), smtp_url=smtp.url))
        send(provider)
        time.sleep(0.25)
        assert isinstance(send(provider), Receipt)
        assert smtp.connections == 2
        provider.close()


def test_only_an_idle_connection_is_checked_first(smtp: SmtpReceiver, make: Make) -> None:
    provider = make(smtp.url, smtp_idle_s=0.05)
    send(provider)
    send(provider)
    assert "noop" not in smtp.commands
    time.sleep(0.1)
    send(provider)
    assert smtp.commands.count("noop") == 1
    time.sleep(0.1)
    smtp.then("noop", HANG)
    assert isinstance(send(provider, timeout_s=1.0), Receipt)
    assert smtp.connections == 2


def test_a_connection_is_replaced_when_it_is_old(smtp: SmtpReceiver, make: Make) -> None:
    provider = make(smtp.url, smtp_age_s=0.05)
    send(provider)
    time.sleep(0.1)
    send(provider)
    assert smtp.connections == 2


def test_nobody_listening_is_transient(make: Make) -> None:
    with smtp_receiver() as gone:
        url = gone.url
    assert isinstance(send(make(url)), TransientError)


@pytest.mark.parametrize(
    "given",
    [
        {"subject": "Hello\r\nBcc: everybody@example.com"},
        {"subject": "Hello\nBcc: everybody@example.com"},
        {"subject": "Hello\rBcc: everybody@example.com"},
        {"subject": "Hello\0"},
        {"subject": "Hello\u2028Bcc: everybody@example.com"},
        {"delivery_id": "x>\r\nBcc: everybody@example.com"},
        {"address": "user@example.com\r\nBcc: everybody@example.com"},
        {"address": "user@example.com\nRCPT TO:<everybody@example.com>"},
        {"text": "\ud800"},
    ],
)
def test_header_injection_is_refused_before_anything_is_sent(
    smtp: SmtpReceiver, make: Make, given: dict[str, str]
) -> None:
    result = send(make(smtp.url), **given)
    assert isinstance(result, PermanentError)
    assert result.reason == "invalid_content"
    assert "everybody" not in str(result)
    assert smtp.connections == 0


@pytest.mark.parametrize(
    "address",
    ["user@example.com", "user@localhost.test", "user@localhost", "a.b+c@mail.example.org", "user@corp.local"],
)
def test_addresses_of_the_world_and_of_development_are_taken(make: Make, address: str) -> None:
    assert make("smtp://127.0.0.1").check_address(address) == address


def test_a_domain_beyond_ascii_is_sent_in_ascii(make: Make) -> None:
    assert make("smtp://127.0.0.1").check_address("user@EXämple.com") == "user@xn--exmple-cua.com"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "user",
        "@example.com",
        "user@",
        "a b@example.com",
        "a@b@c.de",
        "A <a@b.de>",
        "a@b.de,c@d.de",
        "ü@b.de",
        "a@[127.0.0.1]",
        "a@b.de\r\n",
    ],
)
def test_other_addresses_are_invalid(make: Make, address: str) -> None:
    with pytest.raises(PermanentError, match="invalid_address"):
        make("smtp://127.0.0.1").check_address(address)


@pytest.mark.parametrize("url", ["http://user:pass@host", "smtp://", "user:pass@host:25", "smtp://user:pass@host:no"])
def test_a_wrong_url_is_a_config_error_that_does_not_quote_it(make: Make, url: str) -> None:
    with pytest.raises(ConfigError, match="NOTIFY_SMTP_URL") as caught:
        make(url)
    assert "pass" not in str(caught.value)


# login and TLS


def test_it_logs_in_with_what_the_url_says(make: Make) -> None:
    with smtp_receiver(login=True) as smtp:
        provider = make(f"smtp://us%40er:right@127.0.0.1:{smtp.port}")
        assert isinstance(send(provider), Receipt)
        assert smtp.logins[0] == (b"us@er", b"right")
        provider.close()


def test_a_login_that_is_refused_is_transient_for_the_message(make: Make) -> None:
    with smtp_receiver(login=True) as smtp:
        result = send(make(f"smtp://user:wrong@127.0.0.1:{smtp.port}"))
        assert isinstance(result, TransientError)
        assert "login" in str(result)
        assert "wrong" not in str(result)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    folder: Path = tmp_path_factory.mktemp("certificate")
    return make_certificate(folder)


def test_starttls_is_used_where_it_is_offered(certificate: Certificate, make: Make) -> None:
    with smtp_receiver(tls=certificate.server) as smtp:
        provider = make(smtp.url)
        for _ in range(2):
            assert isinstance(send(provider), Receipt)
        assert smtp.tls == [True, True]
        provider.close()


def test_a_password_goes_to_nobody_whose_certificate_is_not_trusted(certificate: Certificate, make: Make) -> None:
    with smtp_receiver(tls=certificate.server, login=True) as smtp:
        result = send(make(f"smtp://user:right@127.0.0.1:{smtp.port}"))
        assert isinstance(result, TransientError)
        assert smtp.logins == []
