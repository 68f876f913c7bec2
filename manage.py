#!/usr/bin/env python3
"""The command line: each command is a module of `app.commands`, loaded when it is called.

Exit codes: 0 done, 1 not found or failed, 2 wrong usage or settings, 3 a store does not answer.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any, Final, NamedTuple

import click

from app.domain.errors import ConfigError, StoreUnavailableError

CONFIG_EXIT: Final = 2
STORE_EXIT: Final = 3


class Entry(NamedTuple):
    """Where a command is, and what the list of commands says of it. No text: it is not listed."""

    module: str
    text: str = ""


COMMANDS: Final[dict[str, Entry]] = {
    "up": Entry("up", "Start everything: the embedded set, on this machine."),
    "api": Entry("api", "Run the HTTP service."),
    "bridge": Entry("bridge", "Run a bridge: router, dispatcher, tracker, scheduler, callbacks or all."),
    "worker": Entry("worker", "Run a pool of Celery workers."),
    "flower": Entry("flower", "Run Flower, the view of the workers."),
    "mailbox": Entry("mailbox", "Run the mailbox: an SMTP server and a page that shows what it got."),
    "migrate": Entry("migrate", "Bring the databases to the schema of this version."),
    "topics": Entry("topics", "Make Kafka's topics, list them, check them."),
    "ready": Entry("ready", "Tell whether a part does its work, for health checks."),
    "config": Entry("config", "List every setting with its value."),
    "users": Entry("users", "Show and change users."),
    "keys": Entry("keys", "Make, list and revoke API keys; where their senders are called back."),
    "show": Entry("history", "Show one notification's timeline."),
    "cancel": Entry("cancel", "Stop what is not sent yet of a notification."),
    "history": Entry("history", "List a user's notifications."),
    "stats": Entry("statistics", "Count deliveries by where they stand now."),
    "providers": Entry("providers", "List providers, test one, disable and enable them."),
    "suppressions": Entry("suppressions", "List, add and remove addresses that nothing is sent to."),
    "push": Entry("push", "Make the keys that Web Push needs."),
    "queues": Entry("queues", "Show what waits in each lane."),
    "send": Entry("send", "Post the events of a file, each once."),
    "explain": Entry("explain", "Tell what would become of an event, and why; sends nothing."),
    "parked": Entry("parked", "List, release or drop parked deliveries."),
    "dead": Entry("dead", "List, show or replay what could not be delivered."),
    "replay": Entry("replay", "Run the events of a time again: the unfinished ones, or all as new."),
    "broker": Entry("broker"),
    "drain": Entry("drain"),
}


class LazyGroup(click.Group):
    """A group that imports a command only to run it or to show its help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands that are listed."""
        return [name for name, entry in COMMANDS.items() if entry.text]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, loaded now."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(importlib.import_module(f"app.commands.{entry.module}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the near names of those that are not loaded yet."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(error.command_name, possibilities=self.list_commands(ctx), ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without loading any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].text) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; wrong settings and absent stores end in one line and an exit code of their own."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            _end(error, CONFIG_EXIT)
        except StoreUnavailableError as error:
            _end(error, STORE_EXIT)


def _end(error: Exception, code: int) -> None:
    click.echo(f"Error: {error}", err=True)
    sys.exit(code)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def manage() -> None:
    """The notification service: `manage.py up` starts everything, NOTIFY_* variables set it up (`manage.py config`)."""


if __name__ == "__main__":
    manage()
