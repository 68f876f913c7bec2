"""What the services need on a Debian machine, installed where it is missing: packages, Java libraries, toxiproxy."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from infrastructure.services import cassandra, kafka, toxiproxy
from infrastructure.services.layout import Layout
from infrastructure.services.service import ServiceError

#: Program -> the Debian package that has it.
PACKAGES: Final[Mapping[str, str]] = {
    "mariadbd": "mariadb-server",
    "redis-server": "redis-server",
    "java": "openjdk-17-jre-headless",
    "mvn": "maven",
    "go": "golang-go",
    # mysqlclient is built on the spot
    "gcc": "gcc",
    "pkg-config": "pkg-config",
    "mariadb_config": "libmariadb-dev",
    # what tests check the containers' description and the alerts with
    "docker-compose": "docker-compose",
    "promtool": "prometheus",
    # what the bench posts with
    "wrk": "wrk",
}
INSTALL_S = 900.0

POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>notify</groupId><artifactId>{name}</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>{dependencies}</dependencies>
</project>
"""


def missing(layout: Layout) -> list[str]:
    """What has to be installed before the services can start."""
    lacks = [f"{program} (Debian package {package})" for program, package in PACKAGES.items() if not _has(program)]
    if not _has_jars(layout, "kafka"):
        lacks.append(f"Kafka {kafka.VERSION} (Maven)")
    if not _has_jars(layout, "cassandra"):
        lacks.append(f"Cassandra {cassandra.VERSION} (Maven)")
    if not _toxiproxy(layout).exists():
        lacks.append(f"toxiproxy {toxiproxy.VERSION} (Go module)")
    return lacks


def install(layout: Layout, say: Callable[[str], None]) -> None:
    """Install what is missing. Raises ServiceError."""
    packages = sorted({package for program, package in PACKAGES.items() if not _has(program)})
    if packages:
        _install_packages(packages, say)
    for name, artifacts in (("kafka", kafka.ARTIFACTS), ("cassandra", cassandra.ARTIFACTS)):
        if not _has_jars(layout, name):
            say(f"fetching {name} with Maven")
            _fetch_jars(layout.jars(name), name, artifacts)
    if not _toxiproxy(layout).exists():
        say("building toxiproxy with Go")
        _build_toxiproxy(_toxiproxy(layout))


def _install_packages(packages: Sequence[str], say: Callable[[str], None]) -> None:
    if os.geteuid() != 0:
        raise ServiceError(f"these packages are missing: apt-get install {' '.join(packages)}")
    say(f"installing {' '.join(packages)}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    _run(["apt-get", "update", "-qq"], quiet)
    _run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], quiet)


def _fetch_jars(target: Path, name: str, artifacts: Sequence[str]) -> None:
    tags = ("groupId", "artifactId", "version")
    dependencies = "".join(
        "<dependency>"
        + "".join(f"<{tag}>{part}</{tag}>" for tag, part in zip(tags, artifact.split(":"), strict=True))
        + "</dependency>"
        for artifact in artifacts
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        pom = Path(work) / "pom.xml"
        pom.write_text(POM.format(name=name, dependencies=dependencies))
        fresh = Path(work) / "jars"
        _run(["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={fresh}"])
        fresh.rename(target)


def _build_toxiproxy(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        _run(["go", "install", toxiproxy.MODULE], {"GOBIN": work, "CGO_ENABLED": "0"})
        (Path(work) / "server").rename(target)


def _toxiproxy(layout: Layout) -> Path:
    return layout.folder / "bin" / "toxiproxy"


def _has_jars(layout: Layout, name: str) -> bool:
    return any(layout.jars(name).glob("*.jar"))


def _has(program: str) -> bool:
    return shutil.which(program) is not None


def _run(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
    """Raises ServiceError with what it printed."""
    assignments = [f"{name}={value}" for name, value in (environ or {}).items()]
    whole = ["env", *assignments, *argv]
    done = subprocess.run(whole, capture_output=True, text=True, timeout=INSTALL_S, check=False)  # noqa: S603 - ours
    if done.returncode:
        raise ServiceError(
            f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
