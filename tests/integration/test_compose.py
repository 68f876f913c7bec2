"""infrastructure/docker-compose.yml holds what is said of it, and what it runs is there and takes what it is given."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

import manage
from app.commands.api import stop_timeout_s
from app.domain.bind import parse_bind
from app.domain.lane import ALL_TOPICS, LANES, Priority, expand_queues
from app.domain.metric_catalogue import METRICS
from app.settings import Settings
from infrastructure.services import kafka
from tests.support.compose import (
    EXAMPLE,
    FILE,
    FOLDER,
    ROOT,
    ComposeService,
    filled,
    in_network,
    load_file,
    load_services,
    localised,
    required_variables,
)
from tests.support.ports import free_port
from tests.support.stack_client import ask, wait_until

DOCKERFILE = FOLDER / "Dockerfile"
ALERTS = FOLDER / "prometheus" / "alerts.yml"
SCRAPES = FOLDER / "prometheus" / "prometheus.yml"
ALERT_TESTS = ROOT / "tests" / "support" / "alerts.promtool.yml"

#: Stand-ins: letters and digits, as .env.example asks for.
SECRETS = {name: f"{name.lower().replace('_', '')}0123" for name in required_variables()}
WRITTEN: Mapping[str, Any] = load_file()["services"]
SERVICES = load_services(SECRETS)
STEPS = {name for name, service in SERVICES.items() if service.is_step}
TWICE = {"router", "dispatcher", "tracker", "scheduler"}
BRIDGES = {*TWICE, "callbacks"}
POOLS = {name for name, service in SERVICES.items() if service.argv[2] == "worker"}
PUBLISHED = {"api": 8080, "mailbox": 8025, "flower": 5555, "prometheus": 9090}
HAS_VERSION = re.compile(r"[\w./-]+:v?\d+\.\d+\.\d+(?:-[\w.-]+)?")
COMMANDS = [pytest.param(service.argv, id=name) for name, service in SERVICES.items()]
CHECKS = [pytest.param(service.check, id=f"{name}'s check") for name, service in SERVICES.items() if service.check]


def tool(name: str) -> str:
    """The program; skips without it, fails in CI."""
    found = shutil.which(name)
    if found is None:
        missing = f"{name} is not installed (Debian: docker-compose, prometheus)"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)  # noqa: TID251 - CI's own variable
    return found


def compose(env_file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """docker-compose over the file and nothing but these variables."""
    argv = [tool("docker-compose"), "--file", str(FILE), "--env-file", str(env_file), *words]
    environ = {"PATH": os.defpath, "HOME": "/nonexistent"}
    return subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=60, check=False)


def promtool(*words: str) -> None:
    done = subprocess.run([tool("promtool"), *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def resolved(argv: list[str]) -> click.Context:
    """The command that a `python manage.py ...` names, its options read. Raises click.UsageError."""
    assert argv[:2] == ["python", "manage.py"]
    context = manage.manage.make_context("manage", list(argv[2:]))
    while isinstance(context.command, click.Group):
        name, command, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None
        context = command.make_context(name, rest, parent=context)
    return context


def option(argv: list[str], name: str) -> str:
    return argv[argv.index(name) + 1]


def environments() -> Iterator[tuple[str, str, str]]:
    """(service, variable, value) as written."""
    for name, service in WRITTEN.items():
        for variable, value in service.get("environment", {}).items():
            yield name, variable, str(value)


def seconds(text: str) -> float:
    assert text.endswith("s")
    return float(text[:-1])


# the file and its variables


def test_docker_compose_reads_the_file_as_the_tests_do(tmp_path: Path) -> None:
    env_file = tmp_path / "env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in SECRETS.items()))
    done = compose(env_file, "--profile", "callbacks", "config")
    assert done.returncode == 0, done.stderr
    read = yaml.safe_load(done.stdout)["services"]
    assert set(WRITTEN) - {"prometheus"} == set(read) - {"prometheus"}
    for name, service in SERVICES.items():
        assert read[name]["command"] == service.argv
        assert {key: str(value) for key, value in read[name]["environment"].items()} == service.environment
        assert read[name].get("healthcheck", {}).get("test", ["CMD"]) == ["CMD", *service.check]


def test_the_example_asks_for_every_variable_and_answers_none(tmp_path: Path) -> None:
    lines = [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")]
    given = dict(line.split("=", 1) for line in lines)
    assert given.pop("COMPOSE_PROJECT_NAME") == "notify"
    assert given == dict.fromkeys(required_variables(), "")
    done = compose(EXAMPLE, "config")
    assert done.returncode != 0
    assert re.search(r"set [A-Z_]+ in \.env", done.stderr)


def test_no_secret_has_a_default_that_works() -> None:
    text = FILE.read_text()
    assert not re.search(r"\$\{\w+:?-", text), "no variable has a default"
    for _, variable, value in environments():
        is_secret = re.search(r"PASSWORD|SECRET|_KEY$|REDISCLI_AUTH|FLOWER_AUTH", variable) or "@" in value
        if is_secret and "VOTERS" not in variable:
            assert "${" in value, f"{variable} is written out"
    for service in ("redis-broker", "redis-state"):
        assert option(WRITTEN[service]["command"], "--requirepass") == "${REDIS_PASSWORD}"


def test_a_variable_that_is_missing_is_named() -> None:
    with pytest.raises(KeyError, match="REDIS_PASSWORD"):
        load_services(SECRETS | {"REDIS_PASSWORD": ""})


def test_the_file_with_the_secrets_is_neither_committed_nor_sent_to_the_builder() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[-1] == "**/.env"
    assert "*" in ignored


def test_variables_are_replaced_as_compose_does() -> None:
    assert filled("a$$b ${X} ${X:?no} ${Y:-z}", {"X": "x"}) == "a$b x x z"


# images


def test_every_image_is_pinned() -> None:
    froms = re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(), re.MULTILINE)
    images = [service["image"] for service in WRITTEN.values()]
    assert not [image for image in images + froms if not HAS_VERSION.fullmatch(image)]


def test_our_image_is_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {WRITTEN[name]["image"] for name in SERVICES} == {f"notify:{version}"}
    assert {json.dumps(WRITTEN[name]["build"]) for name in SERVICES} == {
        json.dumps({"context": "..", "dockerfile": "infrastructure/Dockerfile"})
    }


def test_cassandra_is_the_version_that_tests_run() -> None:
    from infrastructure.services import cassandra

    assert WRITTEN["cassandra"]["image"] == f"cassandra:{cassandra.VERSION}"


def test_cassandra_syncs_its_commit_log_as_where_the_tests_run() -> None:
    from infrastructure.services import cassandra

    options = WRITTEN["cassandra"]["environment"]["JVM_EXTRA_OPTS"].split()

    assert "commitlog_sync: batch" in cassandra.YAML.splitlines()
    assert "-Dcassandra.settings.commitlog_sync=batch" in options
    # Without these the first is not read, or refused beside the image's own period.
    assert {
        "-Dcassandra.config.allow_system_properties=true",
        "-Dcassandra.settings.commitlog_sync_period=0ms",
    } <= set(options)


def test_our_image_has_no_compiler_and_runs_as_nobody_special() -> None:
    build, final = re.split(r"^FROM .*$", DOCKERFILE.read_text(), flags=re.MULTILINE)[1:]
    assert "gcc" in build
    assert "gcc" not in final
    assert "libmariadb-dev" not in final
    assert re.search(r"^USER notify$", final, re.MULTILINE)
    for name in SERVICES:
        service = WRITTEN[name]
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "user" not in service, name


def test_our_image_holds_what_the_service_needs(tmp_path: Path) -> None:
    names = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name in names:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / name)
    code = """
import app.http.wsgi, bridges.dispatcher, manage, tasks.celery
from app.settings import settings
from infrastructure import wiring
wiring.preload(settings())
wiring.renderer(settings())
"""
    environ = {"PATH": os.defpath, "NOTIFY_STATE_DIR": str(tmp_path / "state")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


# what each service is given


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_its_environment_is_taken(service: ComposeService) -> None:
    assert Settings.load(service.environment).profile == ("embedded" if service.name == "mailbox" else "real")


def test_the_mailbox_knows_no_secret() -> None:
    assert not [value for value in SECRETS.values() if value in str(SERVICES["mailbox"].environment)]


def test_everybody_talks_to_the_same_stores() -> None:
    for name in set(SERVICES) - {"mailbox"}:
        environment = SERVICES[name].environment
        assert environment["NOTIFY_KAFKA_BOOTSTRAP"] == "kafka-1:9092,kafka-2:9092,kafka-3:9092"
        assert "@redis-broker:" in environment["NOTIFY_BROKER_URL"]
        assert "@redis-state:" in environment["NOTIFY_REDIS_URL"]
        assert environment["NOTIFY_SMTP_URL"] == "smtp://mailbox:1025"
    assert parse_bind(SERVICES["mailbox"].environment["NOTIFY_SMTP_BIND"], "").port == 1025


def test_that_the_api_asks_nobody_is_said() -> None:
    assert SERVICES["api"].environment["NOTIFY_HTTP_AUTH"] == "none"


@pytest.mark.parametrize("argv", [*COMMANDS, *CHECKS])
def test_its_command_line_is_one(argv: list[str]) -> None:
    resolved(argv)


def test_every_lane_has_a_pool_and_every_priority_one_that_takes_it_first() -> None:
    queues = {name: option(SERVICES[name].argv, "--queues").split(",") for name in POOLS}
    served = {queue for names in queues.values() for queue in expand_queues(names)}
    assert served == {lane.queue for lane in LANES}
    assert queues["worker-high"] == ["high"]
    assert queues["worker"] == list(Priority)
    assert queues["worker-low"][0] == "low"


def test_a_check_asks_for_its_own_service() -> None:
    for name, service in SERVICES.items():
        assert service.is_step or service.check[-1] == name
    for name in POOLS:
        assert option(SERVICES[name].argv, "--name") == name
    for name in BRIDGES:
        assert SERVICES[name].argv[2:] == ["bridge", name]


def test_bridges_run_twice_but_for_the_one_that_is_asked_for() -> None:
    assert {name: SERVICES[name].replicas for name in BRIDGES} == dict.fromkeys(TWICE, 2) | {"callbacks": 1}
    assert option(SERVICES["api"].argv, "--workers") == "2"


# how they run


@pytest.mark.parametrize("name", WRITTEN)
def test_it_is_bounded_and_watched(name: str) -> None:
    service = WRITTEN[name]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["logging"]["options"]["max-size"]
    if name in STEPS:
        assert service["restart"] == "on-failure:5"
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"]
        assert seconds(service["healthcheck"]["interval"]) <= 30


def test_what_is_published_is_published_on_loopback() -> None:
    published = {name: service["ports"] for name, service in WRITTEN.items() if "ports" in service}
    assert published == {name: [f"127.0.0.1:{port}:{port}"] for name, port in PUBLISHED.items()}


def test_the_services_start_on_stores_that_are_there() -> None:
    for name in set(SERVICES) - STEPS - {"mailbox"}:
        waits = SERVICES[name].depends_on
        assert {other for other, how in waits.items() if how == "service_completed_successfully"} == STEPS
        assert {other for other, how in waits.items() if how == "service_healthy"} == {"redis-broker", "redis-state"}
    assert set(SERVICES["topics"].depends_on) == {"kafka-1", "kafka-2", "kafka-3"}
    assert set(SERVICES["migrate"].depends_on) == {"mysql", "cassandra"}
    assert {how for name in STEPS for how in SERVICES[name].depends_on.values()} == {"service_healthy"}


UID = re.search(r"useradd --uid (\d+)", (ROOT / "infrastructure" / "Dockerfile").read_text())[1]


def test_what_is_kept_has_a_volume() -> None:
    kept = {name for name, service in WRITTEN.items() if service.get("volumes")}
    assert kept == set(WRITTEN) - set(SERVICES) | {"migrate", "mailbox"}
    for name in kept:
        *_, volume = WRITTEN[name]["volumes"]
        assert volume.partition(":")[0] == name
    for name in set(SERVICES) - kept:
        folders = {folder: options for folder, _, options in (one.partition(":") for one in WRITTEN[name]["tmpfs"])}
        # Without these it belongs to root, and the user of the image cannot say that it is ready.
        assert folders[SERVICES[name].environment["NOTIFY_STATE_DIR"]] == f"uid={UID},gid={UID},mode=0700"


def test_a_stop_leaves_the_time_that_it_takes() -> None:
    for name in POOLS:
        settings = Settings.load(SERVICES[name].environment)
        assert seconds(WRITTEN[name]["stop_grace_period"]) > max(settings.not_after_s, settings.not_after_high_s)
    api = Settings.load(SERVICES["api"].environment)
    assert seconds(WRITTEN["api"]["stop_grace_period"]) > stop_timeout_s(api)


def test_brokers_are_set_up_as_those_of_the_tests() -> None:
    lines = dict(line.split("=", 1) for line in kafka.PROPERTIES.splitlines())
    alike = re.compile(r"group\.|.*replication\.factor$|.*min\.(insync\.replicas|isr)$|auto\.create")
    for node in ("1", "2", "3"):
        service = WRITTEN[f"kafka-{node}"]
        environment = service["environment"]
        for key, value in lines.items():
            if alike.match(key):
                assert environment[f"KAFKA_{key.upper().replace('.', '_')}"] == value, key
        assert int(environment["KAFKA_OFFSETS_RETENTION_MINUTES"]) >= kafka.OFFSETS_RETENTION_MIN
        assert environment["KAFKA_NODE_ID"] == node
        assert environment["CLUSTER_ID"] == WRITTEN["kafka-1"]["environment"]["CLUSTER_ID"]
        assert environment["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://kafka-{node}:9092"
        assert environment["KAFKA_LISTENERS"].startswith("PLAINTEXT://0.0.0.0:9092,"), "localhost inside, too"
        assert service["container_name"] == service["hostname"] == f"kafka-{node}"


@pytest.mark.parametrize("name", ["redis-broker", "redis-state"])
def test_redis_keeps_all_it_has(name: str) -> None:
    command = WRITTEN[name]["command"]
    assert option(command, "--maxmemory-policy") == "noeviction"
    assert option(command, "--appendonly") == "yes"


# running without containers


def test_an_address_that_is_not_given_is_named() -> None:
    router = SERVICES["router"]
    addresses = dict.fromkeys(in_network(router), "127.0.0.1:1")
    assert in_network(localised(router, addresses)) == set()
    addresses.pop("mysql:3306")
    with pytest.raises(KeyError, match="mysql:3306"):
        localised(router, addresses)


def test_the_mailbox_runs_as_it_is_described(tmp_path: Path) -> None:
    smtp, page = free_port(), free_port()
    addresses = {
        "0.0.0.0:1025": f"127.0.0.1:{smtp}",
        "0.0.0.0:8025": f"127.0.0.1:{page}",
        "/var/lib/notify": str(tmp_path / "state"),
    }
    box = localised(SERVICES["mailbox"], addresses)
    environ = {"PATH": os.defpath} | box.environment

    def is_ready() -> bool:
        return subprocess.run(box.check, cwd=ROOT, env=environ, capture_output=True, check=False).returncode == 0

    assert not is_ready()
    running = subprocess.Popen(box.argv, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(is_ready, "the mailbox's check says yes")
        assert ask(page, "GET", "/api/messages").json["total"] == 0
    finally:
        running.terminate()
        assert running.wait(timeout=10) == 0


# Prometheus


def test_prometheus_takes_its_files() -> None:
    promtool("check", "config", str(SCRAPES))
    promtool("check", "rules", str(ALERTS))


def test_alerts_speak_up_when_they_should() -> None:
    promtool("test", "rules", str(ALERT_TESTS))


def test_every_process_with_metrics_is_asked_at_its_port() -> None:
    [job] = [job for job in yaml.safe_load(SCRAPES.read_text())["scrape_configs"] if job["job_name"] == "notify"]
    first, second = job["dns_sd_configs"]
    assert set(first["names"]) == set(SERVICES) - STEPS - {"flower", "mailbox"}
    ports = {parse_bind(SERVICES[name].environment["NOTIFY_METRICS_BIND"], "").port for name in first["names"]}
    assert ports == {first["port"]}
    assert (second["names"], second["port"]) == (["api"], first["port"] + 1), "the api's second process takes the next"


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(ALERTS.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_is_measured(rule: dict[str, Any]) -> None:
    by_name = {f"{metric.name}_total" if metric.kind == "counter" else metric.name: metric for metric in METRICS}
    asked = re.findall(r"\b(notify_\w+)(?:\{([^}]*)\})?", rule["expr"])
    for name, selector in asked:
        metric = by_name[re.sub(r"_bucket$", "", name)]
        assert name.endswith("_bucket") == (metric.kind == "histogram")
        assert set(re.findall(r"(\w+)=~?\"", selector)) <= set(metric.labels)
        for topic in re.findall(r"topic=~?\"([^\"]+)\"", selector):
            assert any(re.fullmatch(topic, known) for known in ALL_TOPICS)
        for labels in re.findall(r"by \(([^)]*)\)", rule["expr"]):
            assert set(labels.split(", ")) <= {*metric.labels, "le"}
    assert asked or "up{" in rule["expr"]


def test_every_alert_has_its_row_in_the_docs() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    assert not [rule["alert"] for rule in rules() if f"`{rule['alert']}`" not in text]
