"""What every address must be, whatever its channel; the channel's provider knows the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.domain.chat_address import chat_problem
from app.domain.event import To
from app.domain.users import Contacts
from app.domain.violation import Violation, pointer

# CR, LF and NUL would end a header or a line of a protocol; the others have no place in an address either.
CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")


def address_violations(addresses: To | Contacts, *place: str) -> Iterator[Violation]:
    """Each address that holds a control character, or is no chat URL; `place` is where the addresses are."""
    for name in addresses.__struct_fields__:
        address = getattr(addresses, name)
        if address is None:
            continue
        if CONTROL_CHARACTER.search(address):
            yield Violation(pointer(*place, name), "contains a control character")
        elif name == "chat" and (problem := chat_problem(address)):
            yield Violation(pointer(*place, name), problem)
