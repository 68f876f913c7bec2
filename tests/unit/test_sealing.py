"""Chat addresses are sealed before they go anywhere: what is sealed, that it tells nothing, and who can open it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.chat_address import chat_problem, is_sealed, schema_of
from app.domain.chat_sealing import sealed_event, sealed_user
from app.domain.codec import encode
from app.domain.errors import PermanentError
from app.domain.event import Event, Options, To
from app.domain.user_rules import check_user
from app.domain.users import Contacts, User
from infrastructure.sealing import Sealing

URL = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7/#general"
SEALING = Sealing(b"the service's secret")


def test_what_is_sealed_is_opened_with_the_same_secret() -> None:
    sealed = SEALING.seal(URL)
    assert Sealing(b"the service's secret").open(sealed) == URL
    assert SEALING.open(URL) == URL, "what is not sealed is as it is"


def test_it_tells_the_service_and_no_more_and_no_two_are_alike() -> None:
    one, two = SEALING.seal(URL), SEALING.seal(URL)
    assert one.startswith("sealed:slack:")
    assert (schema_of(one), is_sealed(one), is_sealed(URL)) == ("slack", True, False)
    assert not any(part in one for part in URL.split("/")[2:])
    assert one != two


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=200))
def test_any_url_can_be(rest: str) -> None:
    url = f"tgram://{rest}"
    assert SEALING.open(SEALING.seal(url)) == url


def test_the_longest_still_has_the_form_of_an_address() -> None:
    longest = f"{'a' * 32}://{'x' * 2000}"
    assert chat_problem(longest) == ""
    assert chat_problem(SEALING.seal(longest)) == ""
    assert check_user(User(id="anna", contacts=Contacts(chat=SEALING.seal(longest)))) == []
    assert chat_problem(f"{longest}x")


@pytest.mark.parametrize(
    "sealed",
    [
        Sealing(b"another secret").seal(URL),
        SEALING.seal(URL).replace("slack", "discord"),
        SEALING.seal(URL)[:-8] + "AAAAAAA=",
        "sealed:slack:",
        "sealed:slack:AAAA",
        "sealed:slack:A",
        "sealed:",
    ],
    ids=["another secret", "another service", "changed", "empty", "too short", "no base64", "nothing"],
)
def test_what_is_not_ours_is_an_invalid_address_that_is_not_quoted(sealed: str) -> None:
    with pytest.raises(PermanentError, match="invalid_address: not sealed under this NOTIFY_SECRET_KEY") as caught:
        SEALING.open(sealed)
    assert "slack" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "is_fine"),
    [
        (URL, True),
        ("Discord://1/2", True),
        ("simulator://success", True),
        (SEALING.seal(URL), True),
        ("@anna", False),
        ("slack://", False),
        ("slack:/T", False),
        ("://x", False),
        ("sealed:slack:with blank", False),
        ("a b://c", False),
        ("slack://a\nb", False),
    ],
)
def test_the_form_is_checked_of_contacts(address: str, is_fine: bool) -> None:
    problems = [pointer for pointer, _ in check_user(User(id="anna", contacts=Contacts(chat=address)))]
    assert problems == ([] if is_fine else ["/contacts/chat"])


def test_of_an_event_the_address_that_came_with_it_is_sealed_and_nothing_else() -> None:
    to = To(email="anna@example.com", chat=URL)
    event = Event(user_id="anna", event_type="kind", content="x", options=Options(to=to, ttl_s=9))
    sealed = sealed_event(event, SEALING.seal)
    assert sealed.options.to is not None
    assert SEALING.open(str(sealed.options.to.chat)) == URL
    assert (sealed.options.to.email, sealed.options.ttl_s, sealed.content) == ("anna@example.com", 9, "x")
    assert b"TIiajkdnlazkcOXrIdevi7" not in encode(sealed)


@pytest.mark.parametrize("chat", [None, "simulator://success", SEALING.seal(URL)])
def test_what_has_no_secret_or_is_sealed_already_stays_as_it_is(chat: str | None) -> None:
    event = Event(user_id="anna", event_type="kind", content="x", options=Options(to=To(chat=chat)))
    assert sealed_event(event, SEALING.seal) is event
    user = User(id="anna", contacts=Contacts(chat=chat))
    assert sealed_user(user, SEALING.seal) is user


def test_of_a_user_the_chat_contact_is_sealed() -> None:
    user = User(id="anna", contacts=Contacts(email="anna@example.com", chat=URL))
    sealed = sealed_user(user, SEALING.seal)
    assert SEALING.open(str(sealed.contacts.chat)) == URL
    assert sealed.contacts.email == "anna@example.com"
