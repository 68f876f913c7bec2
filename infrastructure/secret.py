"""The service's secret: a setting, or in the embedded set a file that is made once."""

from __future__ import annotations

import os
import secrets

from app.domain.errors import ConfigError
from app.settings import Settings

SECRET_FILE = "secret_key"  # noqa: S105 - a file's name
_BYTES = 32


def read_secret(settings: Settings) -> bytes:
    """The secret. Raises ConfigError where it is not set outside the embedded set."""
    if settings.secret_key:
        return settings.secret_key.encode()
    if settings.profile != "embedded":
        raise ConfigError("NOTIFY_SECRET_KEY must be set")
    path = settings.state_dir / SECRET_FILE
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{SECRET_FILE}.{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_hex(_BYTES))
        try:
            os.link(fresh, path)  # the first one wins, whole
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text().strip().encode()
