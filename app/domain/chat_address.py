"""Chat addresses: URLs in the form of apprise, such as `slack://TokenA/TokenB/TokenC`, whose parts are secrets.

Before they go anywhere (`app.domain.chat_sealing`) they are sealed: `sealed:slack:...` has the URL encrypted.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from msgspec import Meta

PREFIX: Final = "sealed:"

_SCHEMA: Final = r"[A-Za-z][A-Za-z0-9+.\-]{0,31}"
#: A sealed URL of the greatest length has 2,704 characters of base64.
_FORM: Final = rf"({_SCHEMA}://[^\x00-\x1f\x7f]{{1,2000}}|{PREFIX}{_SCHEMA}:[A-Za-z0-9_=\-]{{1,3000}})"
_is_form = re.compile(_FORM).fullmatch
_is_schema = re.compile(_SCHEMA).fullmatch

#: The pattern is checked by `app.domain.event_rules` and `app.domain.user_rules`, which name every fault at once.
ChatAddress = Annotated[str, Meta(extra_json_schema={"pattern": f"^{_FORM}$"})]


def chat_problem(address: str) -> str:
    """What is wrong with its form; empty if nothing is. Whether its service is allowed is for the channel to say."""
    return "" if _is_form(address) else "must be a chat URL such as slack://TokenA/TokenB/TokenC"


def is_sealed(address: str) -> bool:
    """Whether it is in its sealed form."""
    return address.startswith(PREFIX)


def schema_of(address: str) -> str:
    """The service that the address names, in either form; empty where it names none."""
    schema, found, _ = address.removeprefix(PREFIX).partition(":")
    return schema.lower() if found and _is_schema(schema) else ""
