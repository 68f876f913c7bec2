"""`push`: what push services ask of an operator before the first message."""

from __future__ import annotations

import os
from pathlib import Path

import click

from app.commands.output import json_option, print_json

#: Its owner alone may read and write it.
_OWNERS_ONLY = 0o600


@click.group()
def push() -> None:
    """Push: the keys that Web Push needs."""


@push.command()
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the private key there, for its owner's eyes only; it must not exist. Unset: print it.",
)
@json_option
def keys(out: Path | None, as_json: bool) -> None:
    """Make a VAPID key pair: the private key for the file of providers, the public one for browsers.

    Browsers subscribe with the public key, and take messages of this pair only: with another pair they have to
    subscribe anew.
    """
    from infrastructure.channels.vapid import new_key_pair

    pair = new_key_pair()
    if out is not None:
        _write(out, pair.private)
    if as_json:
        print_json({"public_key": pair.public} | ({} if out is not None else {"private_key": pair.private}))
        return
    if out is None:
        click.echo(pair.private, nl=False)
        click.echo(f"Public key (applicationServerKey): {pair.public}", err=True)
        return
    click.echo(pair.public)
    click.echo(f"This is the public key (applicationServerKey). The private key is in {out}.", err=True)


def _write(path: Path, text: str) -> None:
    """Raises ClickException: no key that browsers have subscribed with is ever overwritten."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNERS_ONLY)
    except FileExistsError:
        raise click.ClickException(f"{path} is there already; nothing was written") from None
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from error
    with os.fdopen(handle, "w") as file:
        file.write(text)
