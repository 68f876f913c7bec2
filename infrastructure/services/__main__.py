"""The script: `python -m infrastructure.services install|start|stop|status|wipe`."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from infrastructure.services import install as installation
from infrastructure.services.layout import Layout
from infrastructure.services.service import Service, ServiceError
from infrastructure.services.services import chosen
from infrastructure.services.services import start as start_all

ROOT = Path(__file__).parents[2]
PORTS = [field.name for field in dataclasses.fields(Layout) if field.name.endswith("_port")]


class Group(click.Group):
    """Ends with one line where a service does not do as it is told."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except ServiceError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(1)


@click.group(cls=Group, context_settings={"auto_envvar_prefix": "SERVICES"})
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=ROOT / ".services",
    show_default=".services in the checkout",
    envvar="SERVICES_FOLDER",
    help="Programs, data and logs of the services.",
)
@click.pass_context
def services(ctx: click.Context, folder: Path) -> None:
    """Kafka (3 brokers), Cassandra, MariaDB, Redis (2) and toxiproxy without containers, on 127.0.0.1."""
    ctx.obj = folder.absolute()


def _port_options(command: click.Command) -> click.Command:
    """One option a port, `SERVICES_START_KAFKA_PORT` in the environment."""
    defaults = {field.name: field.default for field in dataclasses.fields(Layout)}
    for name in PORTS:
        text = f"Default: as at the last start, {defaults[name]} at the first."
        command.params.append(click.Option([f"--{name.replace('_', '-')}"], type=click.IntRange(1, 65_535), help=text))
    return command


def _layout(folder: Path, **ports: int | None) -> Layout:
    """The folder's layout, with these ports changed."""
    known = dataclasses.asdict(Layout.load(folder) or Layout(folder=folder))
    return Layout(**(known | {name: port for name, port in ports.items() if port is not None}))


@services.command()
@click.pass_obj
def install(folder: Path) -> None:
    """Install what is missing: Debian packages (as root), Java libraries by Maven, toxiproxy by Go."""
    installation.install(_layout(folder), click.echo)


@_port_options
@services.command()
@click.argument("names", nargs=-1)
@click.pass_obj
def start(folder: Path, /, names: tuple[str, ...], **ports: int | None) -> None:
    """Start all, or those named; those that run are left alone."""
    layout = _layout(folder, **ports)
    lacks = installation.missing(layout)
    if lacks:
        raise ServiceError(f"missing: {', '.join(lacks)}; 'install' installs them")
    wanted = chosen(layout, names)
    runs = [service.name for service in chosen(layout, ()) if service.process() is not None]
    if runs and layout != _layout(folder):
        raise ServiceError(f"other ports while {', '.join(runs)} run: 'stop' first")
    layout.save()
    start_all(wanted)
    _show(wanted)


@services.command()
@click.argument("names", nargs=-1)
@click.pass_obj
def stop(folder: Path, names: tuple[str, ...]) -> None:
    """Stop all, or those named, last started first; what they hold stays."""
    for service in reversed(chosen(_layout(folder), names)):
        service.stop()


@services.command()
@click.argument("names", nargs=-1)
@click.pass_obj
def status(folder: Path, names: tuple[str, ...]) -> None:
    """Show which run, where; exit code 1 where one does not answer."""
    wanted = chosen(_layout(folder), names)
    _show(wanted)
    if not all(service.is_up() for service in wanted):
        sys.exit(1)


@services.command()
@click.pass_obj
def wipe(folder: Path) -> None:
    """Stop all and remove what they hold; what was installed stays."""
    wanted = chosen(_layout(folder), ())
    for service in reversed(wanted):
        service.stop()
    for service in wanted:
        shutil.rmtree(service.folder, ignore_errors=True)
    (folder / "kafka-cluster-id").unlink(missing_ok=True)


def _show(wanted: list[Service]) -> None:
    for service in wanted:
        process = service.process()
        state = "answers" if service.is_up() else "does not answer"
        memory = f"{process.memory_info().rss >> 20} MB" if process else ""
        pid = f"pid {process.pid}" if process else "not running"
        click.echo(f"{service.name:<14} {pid:<14} port {service.ports[0]:<6} {state:<16} {memory}".rstrip())


if __name__ == "__main__":
    services()
