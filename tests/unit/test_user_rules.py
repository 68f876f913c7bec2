"""What a user's record must look like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.user_rules import check_user
from app.domain.users import Contacts, User

CONTACT_FIELDS = Contacts.__struct_fields__


def pointers(user: User) -> list[str]:
    return [pointer for pointer, _ in check_user(user)]


def with_contact(name: str, address: str) -> User:
    return User(id="anna", contacts=Contacts(**{name: address}))


def test_a_full_record_is_fine() -> None:
    contacts = Contacts(
        email="anna@example.com",
        phone="+4930123456",
        webhook="https://example.com/hook",
        push="token",
        chat="slack://T0123/B0123/secret",
    )
    assert check_user(User(id="anna", contacts=contacts, locale="pt-BR", timezone="America/Sao_Paulo")) == []


def test_a_record_with_nothing_but_an_id_is_fine() -> None:
    assert check_user(User(id="anna")) == []


@pytest.mark.parametrize("user_id", ["", "a" * 129, "a\nb", "a\x00", "a\x7f"])
def test_ids_that_are_refused(user_id: str) -> None:
    assert pointers(User(id=user_id)) == ["/id"]


@pytest.mark.parametrize(
    "address", ["a@example.com", "a.b+c@mail.example.co.uk", "jörg@bücher.example", "o'neil@example.org"]
)
def test_emails_that_pass(address: str) -> None:
    assert check_user(with_contact("email", address)) == []


@pytest.mark.parametrize(
    "address",
    [
        "anna",
        "@example.com",
        "anna@",
        "anna@localhost",
        "a@b@example.com",
        "anna @example.com",
        "Anna <anna@example.com>",
        "a@example.com,b@example.com",
        ".anna@example.com",
        "anna.@example.com",
        "an..na@example.com",
        "anna@-example.com",
        "anna@example..com",
        "anna@example.com.",
        "a" * 65 + "@example.com",
        "anna@" + "a." * 125 + "com",
    ],
)
def test_emails_that_are_refused(address: str) -> None:
    assert pointers(with_contact("email", address)) == ["/contacts/email"]


@pytest.mark.parametrize("number", ["+12", "+4930123456", "+123456789012345"])
def test_numbers_that_pass(number: str) -> None:
    assert check_user(with_contact("phone", number)) == []


@pytest.mark.parametrize(
    "number", ["4930123456", "+0301234567", "+", "+1", "+1234567890123456", "+49 30 1", "+49-30", "+\u0661\u0662\u0663"]
)
def test_numbers_that_are_refused(number: str) -> None:
    assert pointers(with_contact("phone", number)) == ["/contacts/phone"]


@pytest.mark.parametrize("url", ["https://example.com/hook?a=b", "http://example.com:8080/", "HTTPS://[2001:db8::1]/"])
def test_webhooks_that_pass(url: str) -> None:
    assert check_user(with_contact("webhook", url)) == []


@pytest.mark.parametrize(
    "url",
    [
        "example.com",
        "ftp://example.com",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://",
        "https:///path",
        "http://example.com:port/",
        "http://example.com:0/",
        "http://[::1/",
        "https://example.com/a b",
        " https://example.com/",
    ],
)
def test_webhooks_that_are_refused(url: str) -> None:
    assert pointers(with_contact("webhook", url)) == ["/contacts/webhook"]


@pytest.mark.parametrize("name", CONTACT_FIELDS)
@pytest.mark.parametrize("sign", ["\r", "\n", "\x00"])
@pytest.mark.parametrize("form", ["{sign}{good}", "{good}{sign}", "{good}{sign}Bcc: x@example.com"])
def test_line_breaks_and_nul_are_refused_in_every_contact(name: str, sign: str, form: str) -> None:
    good = {"email": "a@example.com", "phone": "+4930123456", "webhook": "https://example.com/"}.get(name, "token")
    assert pointers(with_contact(name, form.format(sign=sign, good=good))) == [f"/contacts/{name}"]


@pytest.mark.parametrize("name", CONTACT_FIELDS)
@pytest.mark.parametrize("address", ["", "a" * 2049])
def test_empty_and_overlong_contacts_are_refused(name: str, address: str) -> None:
    assert pointers(with_contact(name, address)) == [f"/contacts/{name}"]


@pytest.mark.parametrize("timezone", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+12"])
def test_time_zones_that_pass(timezone: str) -> None:
    assert check_user(User(id="anna", timezone=timezone)) == []


@pytest.mark.parametrize(
    "timezone",
    [
        "",
        "Mars/Olympus",
        "Europe",
        "europe/berlin ",
        "../../etc/passwd",
        "/etc/localtime",
        "localtime",
        "posix/UTC",
        "A\x00",
    ],
)
def test_time_zones_that_are_refused(timezone: str) -> None:
    assert pointers(User(id="anna", timezone=timezone)) == ["/timezone"]


@pytest.mark.parametrize("locale", ["en", "pt-BR", "pt_BR", "zh-Hant-TW", "gsw"])
def test_locales_that_pass(locale: str) -> None:
    assert check_user(User(id="anna", locale=locale)) == []


@pytest.mark.parametrize("locale", ["", "e", "english", "en-", "en--US", "en/US", "en\n", "en-" + "a" * 9])
def test_locales_that_are_refused(locale: str) -> None:
    assert pointers(User(id="anna", locale=locale)) == ["/locale"]


def test_all_problems_are_told_at_once() -> None:
    user = User(id="", contacts=Contacts(email="x", phone="y"), locale="!", timezone="?")
    assert pointers(user) == ["/id", "/contacts/email", "/contacts/phone", "/locale", "/timezone"]


@given(st.text(), st.text(), st.text(), st.text())
def test_any_text_is_answered_and_never_quoted(email: str, webhook: str, timezone: str, locale: str) -> None:
    marked = "\N{SNOWMAN}" + email
    user = User(id="anna", contacts=Contacts(email=marked, webhook=webhook), locale=locale, timezone=timezone)
    assert all("\N{SNOWMAN}" not in detail for _, detail in check_user(user))
