"""What import-linter cannot say: each library has its place, the domain knows next to none, entry files obey too."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("app", "bridges", "tasks", "infrastructure", "manage", "celeryconfig")
ANYWHERE = {"msgspec", "structlog"}
#: library -> the only modules and packages that may import it
HOMES = {
    "aiosmtpd": ("infrastructure.embedded",),
    "alembic": ("infrastructure.sql",),
    "apprise": ("infrastructure.channels.chat_library",),
    "cassandra": ("infrastructure.cassandra",),
    "celery": ("tasks",),
    "click": ("app.commands", "manage", "infrastructure.services"),
    "cryptography": (
        "infrastructure.channels.es256",
        "infrastructure.channels.sns",
        "infrastructure.channels.web_push_encryption",
        "infrastructure.sealing",
    ),
    "confluent_kafka": (
        "infrastructure.kafka",
        "infrastructure.embedded.kafka",
        "infrastructure.embedded.mock_cluster",
    ),  # its mock cluster is the embedded Kafka
    "email_validator": ("infrastructure.channels",),
    "flask": ("app.http", "infrastructure.embedded"),  # the mailbox has a page of its own
    "flower": ("app.commands.flower",),
    "google": ("infrastructure.channels.google_token",),
    "granian": ("app.commands.api",),
    "h2": ("infrastructure.channels.http2_session",),
    "hpack": ("infrastructure.channels.http2_session",),
    "jinja2": ("infrastructure.channels",),
    "jwt": ("infrastructure.channels.es256",),
    "kombu": ("tasks", "infrastructure.kombu_json", "celeryconfig"),
    "markupsafe": ("infrastructure.channels",),
    "opentelemetry": ("infrastructure.telemetry.otlp",),
    "phonenumbers": ("infrastructure.channels",),
    "prometheus_client": ("app.http", "infrastructure.telemetry"),
    "psutil": ("infrastructure.embedded", "infrastructure.services"),
    "redis": ("infrastructure.redis", "infrastructure.wiring"),  # there for a type only
    "requests": ("infrastructure.channels.chat_library",),
    "rich": ("app.commands",),
    "setproctitle": ("infrastructure.embedded",),
    "simpy": ("app.capacity",),
    "sqlalchemy": ("infrastructure.sql",),
    "urllib3": ("infrastructure.channels",),
    "werkzeug": ("app.http", "infrastructure.embedded"),
}


def sources() -> Iterator[tuple[str, Path]]:
    for name in OURS:
        file = ROOT / f"{name}.py"
        for path in [file] if file.exists() else sorted((ROOT / name).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path


def imported(path: Path) -> Iterator[str]:
    """The full names of the modules a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{path}: a relative import"
            yield node.module


def is_within(module: str, homes: tuple[str, ...]) -> bool:
    return any(module == home or module.startswith(f"{home}.") for home in homes)


IMPORTS = [(module, name) for module, path in sources() for name in imported(path)]


def test_each_library_is_imported_in_its_place_only() -> None:
    strangers = [
        f"{module} imports {name}"
        for module, name in IMPORTS
        if (library := name.partition(".")[0]) not in {*sys.stdlib_module_names, *OURS, *ANYWHERE}
        and not is_within(module, HOMES.get(library, ()))
    ]
    assert not strangers


def test_the_domain_imports_itself_msgspec_and_the_standard_library_only() -> None:
    allowed = sys.stdlib_module_names | {"msgspec"}
    strangers = [
        f"{module} imports {name}"
        for module, name in IMPORTS
        if is_within(module, ("app.domain",))
        and name.partition(".")[0] not in allowed
        and not is_within(name, ("app.domain",))
    ]
    assert not strangers


@pytest.mark.parametrize(
    ("module", "allowed"),
    [("manage", ("app.commands", "app.domain", "app.settings")), ("celeryconfig", ("app", "infrastructure", "tasks"))],
)
def test_the_entry_files_import_what_is_below_them(module: str, allowed: tuple[str, ...]) -> None:
    ours = [name for importer, name in IMPORTS if importer == module and name.partition(".")[0] in OURS]
    assert all(is_within(name, allowed) for name in ours), ours
