"""What of events and users is sealed before they are written anywhere: chat addresses, whose parts are secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import structs

from app.domain.chat_address import is_sealed
from app.domain.event import Event
from app.domain.simulator import is_test_address
from app.domain.users import User

CHANNEL: Final = "chat"

#: What makes the sealed form of an address.
Seal = Callable[[str], str]


def sealed_event(event: Event, seal: Seal) -> Event:
    """The event with the chat address that came with it sealed; as it is where there is none to be."""
    to = event.options.to
    if to is None or to.chat is None or not _is_open(to.chat):
        return event
    options = structs.replace(event.options, to=structs.replace(to, chat=seal(to.chat)))
    return structs.replace(event, options=options)


def sealed_user(user: User, seal: Seal) -> User:
    """The user with their chat address sealed; as they are where there is none to be."""
    chat = user.contacts.chat
    if chat is None or not _is_open(chat):
        return user
    return structs.replace(user, contacts=structs.replace(user.contacts, chat=seal(chat)))


def _is_open(address: str) -> bool:
    """A test address has no secret, and has to be known as one everywhere."""
    return not is_sealed(address) and not is_test_address(CHANNEL, address)
