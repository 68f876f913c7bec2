"""What belongs to each way to connect to Kafka."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from app.domain.errors import ConfigError

_VARIABLE = "NOTIFY_KAFKA_"
_PROTOCOL = f"{_VARIABLE}SECURITY_PROTOCOL"
_SASL = ("SASL_MECHANISM", "SASL_USERNAME", "SASL_PASSWORD")
_SSL = ("SSL_CA", "SSL_CERTIFICATE", "SSL_KEY", "SSL_KEY_PASSWORD")
#: What is of no use without another.
_TOGETHER = {"SSL_CERTIFICATE": "SSL_KEY", "SSL_KEY": "SSL_CERTIFICATE", "SSL_KEY_PASSWORD": "SSL_KEY"}


def check_access(protocol: str, values: Mapping[str, str | Path | None]) -> None:
    """Whether all that the protocol needs is there, whole, and nothing that it does not use.

    `values` are settings by the ends of their names (`SASL_USERNAME`); files have to exist. Raises ConfigError.
    """
    given = {name for name, value in values.items() if value}
    for name in _SASL:
        if "sasl" in protocol and name not in given:
            raise ConfigError(f"{_VARIABLE}{name} must be set with {_PROTOCOL}={protocol}")
    for kind, names in (("sasl", _SASL), ("ssl", _SSL)):
        for name in names:
            if kind not in protocol and name in given:
                raise ConfigError(f"{_VARIABLE}{name} is of no use with {_PROTOCOL}={protocol}")
    for name, other in _TOGETHER.items():
        if name in given and other not in given:
            raise ConfigError(f"{_VARIABLE}{other} must be set with {_VARIABLE}{name}")
    for name, value in values.items():
        if isinstance(value, Path) and not value.is_file():
            raise ConfigError(f"{_VARIABLE}{name}: there is no file {value}")
