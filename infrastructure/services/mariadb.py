"""MariaDB: root without a password, on loopback."""

from __future__ import annotations

import subprocess
from pathlib import Path

from infrastructure.services.layout import HOST, Layout
from infrastructure.services.service import Service, ServiceError, accepts

INSTALL_S = 120.0


def server(layout: Layout) -> Service:
    """The server."""
    folder = layout.folder / "mariadb"
    data = folder / "data"
    return Service(
        name="mariadb",
        folder=folder,
        argv=[
            *("mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--port={layout.mariadb_port}"),
            *(f"--bind-address={HOST}", f"--socket={folder / 'mariadb.sock'}", f"--pid-file={folder / 'server.pid'}"),
            *("--skip-name-resolve", "--character-set-server=utf8mb4", "--max-connections=500"),
            *("--innodb-buffer-pool-size=256M", "--innodb-flush-log-at-trx-commit=1", "--max-allowed-packet=32M"),
        ],
        ports=[layout.mariadb_port],
        is_up=lambda: accepts(layout.mariadb_port),
        prepare=lambda: _prepare(layout, data),
    )


def url(layout: Layout) -> str:
    """SQLAlchemy URL of the server, without a database."""
    return f"mariadb+mysqldb://root@{HOST}:{layout.mariadb_port}"


def _prepare(layout: Layout, data: Path) -> None:
    """Make the system tables at the first start."""
    layout.data("mariadb")
    if (data / "mysql").is_dir():
        return
    argv = ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}"]
    argv.append("--auth-root-authentication-method=normal")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=INSTALL_S, check=False)  # noqa: S603 - ours
    if done.returncode:
        raise ServiceError(f"mariadb: its folder could not be made:\n{done.stdout}{done.stderr}")
