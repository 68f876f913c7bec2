"""Phone numbers in normal form (E.164)."""

from __future__ import annotations

import phonenumbers

from app.domain.errors import PermanentError
from app.domain.outcome import Reason


def checked_number(address: str, region: str) -> str:
    """`+442071838750` of what people write; `region` is that of numbers without +.

    Raises PermanentError (invalid_address) for what can be no number of its country.
    """
    try:
        number = phonenumbers.parse(address, region or None)
    except phonenumbers.NumberParseException as error:
        raise PermanentError(Reason.INVALID_ADDRESS, "not a phone number") from error
    if not phonenumbers.is_possible_number(number) or number.extension:
        raise PermanentError(Reason.INVALID_ADDRESS, "not a possible phone number")
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
