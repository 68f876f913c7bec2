"""What all providers of email hold of an address, and who their mails are from."""

from __future__ import annotations

from email.utils import parseaddr

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from app.domain.errors import ConfigError, PermanentError
from app.domain.outcome import Reason

# Names the world does not know, but the relay of an intranet or of a developer may; the library's way to allow them.
for _name in {"local", "localhost"}.intersection(SPECIAL_USE_DOMAIN_NAMES):
    SPECIAL_USE_DOMAIN_NAMES.remove(_name)


def checked_email(address: str) -> str:
    """The address with its domain in ASCII. Raises PermanentError (invalid_address). Asks no DNS."""
    try:
        # A local part beyond ASCII is refused: it needs SMTPUTF8 all the way.
        checked = validate_email(
            address,
            check_deliverability=False,
            globally_deliverable=False,
            test_environment=True,
            allow_smtputf8=False,
        )
    except EmailNotValidError as error:
        raise PermanentError(Reason.INVALID_ADDRESS, "not an email address") from error
    return checked.ascii_email or checked.normalized


def sender_address(email_from: str) -> str:
    """The address in NOTIFY_EMAIL_FROM, without its name. Raises ConfigError."""
    address = parseaddr(email_from)[1]
    if "@" not in address:
        raise ConfigError("NOTIFY_EMAIL_FROM has no address in it")
    return address
