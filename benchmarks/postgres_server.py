"""A real PostgreSQL server for benchmarks and tests: a cluster in a directory of its own, on a free port of the loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROLE = "holdfast"


def find_binaries() -> Path | None:
    """Give the directory of the newest server's programs: Debian keeps them outside of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    where = shutil.which("postgres")
    return None if where is None else Path(where).resolve().parent


@contextmanager
def running_server(binaries: Path, *settings: str) -> Iterator[str]:
    """Start a server; give the URL of a database on it. It is stopped at once in the end, and its directory removed.

    Args:
        binaries: The directory of its programs; see :func:`find_binaries`.
        settings: Settings besides its defaults: ``shared_buffers=32MB``.
    """
    # PostgreSQL refuses to run as root, and reads nothing in private directories.
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    directory = Path(tempfile.mkdtemp(prefix="holdfast-postgres-"))
    os.chown(directory, user.pw_uid, user.pw_gid)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def call(*command: str | Path) -> None:
        subprocess.run(
            command, check=True, user=user.pw_uid, group=user.pw_gid, cwd=directory, stdout=subprocess.DEVNULL
        )

    cluster = directory / "cluster"
    call(
        binaries / "initdb",
        "-D",
        cluster,
        "-U",
        _ROLE,
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-sync",
    )
    options = " ".join(
        [f"-p {port} -k {directory} -c listen_addresses=127.0.0.1", *(f"-c {each}" for each in settings)]
    )
    call(binaries / "pg_ctl", "-D", cluster, "-w", "-o", options, "-l", directory / "log", "start")
    try:
        yield f"postgresql://{_ROLE}@127.0.0.1:{port}/postgres"
    finally:
        call(binaries / "pg_ctl", "-D", cluster, "-m", "immediate", "-w", "stop")
        shutil.rmtree(directory)
