"""infrastructure/docker-compose.yml, read for running the application's services without containers.

    services = load_services({"NOTIFY_SECRET_KEY": ..., "REDIS_PASSWORD": ...})
    router = localised(services["router"], {"kafka-1:9092": "127.0.0.1:19092", ..., "/run/notify": str(folder)})
    subprocess.Popen(router.argv, cwd=ROOT, env=outer | router.environment)

What is run so is what the file says: its command lines and its environment, with other addresses.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "infrastructure"
FILE = FOLDER / "docker-compose.yml"
EXAMPLE = FOLDER / ".env.example"

#: depends_on without a condition.
STARTED = "service_started"
#: Folders that only a container has.
FOLDERS = ("/run/notify", "/var/lib/notify")
ANYWHERE = "0.0.0.0"  # noqa: S104 - as it is written there
#: $$, ${NAME}, ${NAME:?text} and ${NAME:-text}: all that the file may use.
_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?:(?P<kind>:[?-])(?P<text>[^}]*))?\})")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ComposeService:
    """A service that runs our image. `argv` and `check` start with `python`; no check: an empty list."""

    name: str
    argv: list[str]
    environment: dict[str, str]
    replicas: int
    #: Whether it runs only where a profile is asked for.
    is_optional: bool
    #: Service -> condition: service_healthy, service_completed_successfully, or service_started.
    depends_on: dict[str, str]
    #: Command line of the health check: exit code 0 says that it does its work.
    check: list[str]

    @property
    def is_step(self) -> bool:
        """Whether it ends by itself: others wait for its end."""
        return self.name in ("topics", "migrate")


def load_file() -> dict[str, Any]:
    """The file as it is written, anchors resolved, variables not."""
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return loaded


def load_services(env: Mapping[str, str]) -> dict[str, ComposeService]:
    """The services that run our image, in the file's order. `env` are the variables of .env.

    Raises KeyError naming a variable that the file asks for and `env` has not.
    """
    services: dict[str, Any] = filled(load_file()["services"], env)
    return {name: _service(name, given) for name, given in services.items() if "build" in given}


def localised(service: ComposeService, addresses: Mapping[str, str]) -> ComposeService:
    """The same service for this machine: this Python, and `addresses` in place of what only containers know.

    Keys: host:port as `in_network` lists them for the service ("kafka-1:9092", "mysql:3306", "0.0.0.0:8080"), and the
    FOLDERS it uses. Keys it does not use do no harm. Raises KeyError naming one that is missing.
    """
    return dataclasses.replace(
        service,
        argv=_here(service.argv),
        check=_here(service.check),
        environment={name: _replaced(value, addresses) for name, value in service.environment.items()},
    )


def in_network(service: ComposeService) -> set[str]:
    """Every address and folder of the service's environment that is there in containers only."""
    return {found for value in service.environment.values() for found in _places(value)}


def required_variables() -> set[str]:
    """The variables without which the file cannot be used."""
    return {match["name"] for match in _VARIABLE.finditer(FILE.read_text()) if match["kind"] == ":?"}


def filled(value: Any, env: Mapping[str, str]) -> Any:
    """The value with its variables replaced, at any depth. Raises KeyError naming one that is not given."""
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: _value(match, env), value)
    if isinstance(value, dict):
        return {key: filled(inner, env) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, env) for inner in value]
    return value


def _value(match: re.Match[str], env: Mapping[str, str]) -> str:
    if match["dollar"]:
        return "$"
    if match["kind"] == ":-":
        return env.get(match["name"]) or match["text"]
    if not env.get(match["name"]):
        raise KeyError(match["name"])
    return env[match["name"]]


def _service(name: str, given: Mapping[str, Any]) -> ComposeService:
    waits = given.get("depends_on", {})
    check = given.get("healthcheck", {}).get("test", [])
    assert check[:1] in ([], ["CMD"]), f"{name}: a check is a command line, without a shell"
    return ComposeService(
        name=name,
        argv=list(given["command"]),
        environment={key: str(value) for key, value in given.get("environment", {}).items()},
        replicas=given.get("deploy", {}).get("replicas", 1),
        is_optional="profiles" in given,
        depends_on={other: how["condition"] for other, how in waits.items()}
        if isinstance(waits, dict)
        else dict.fromkeys(waits, STARTED),
        check=check[1:],
    )


def _here(argv: list[str]) -> list[str]:
    return [sys.executable, *argv[1:]] if argv[:1] == ["python"] else argv


def _places(value: str) -> Iterator[str]:
    hosts = "|".join(map(re.escape, [ANYWHERE, *load_file()["services"]]))
    yield from re.findall(rf"(?<![\w.-])(?:{hosts}):\d+\b", value)
    yield from (folder for folder in FOLDERS if value == folder or value.startswith(f"{folder}/"))


def _replaced(value: str, addresses: Mapping[str, str]) -> str:
    for place in sorted(set(_places(value)), key=len, reverse=True):
        value = re.sub(rf"(?<![\w.-]){re.escape(place)}\b", addresses[place].replace("\\", r"\\"), value)
    return value
