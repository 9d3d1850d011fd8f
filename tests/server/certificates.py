"""Makes certificates for tests with the ``openssl`` command."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from pathlib import Path


class Pair(NamedTuple):
    """A certificate and its private key."""

    cert: Path
    key: Path


def make_pair(directory: Path, name: str, issuer: Pair | None = None) -> Pair:
    """Make a certificate for 127.0.0.1: its own issuer, if none is given."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is not installed")
    pair = Pair(directory / f"{name}.crt", directory / f"{name}.key")
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"),
        *("-keyout", str(pair.key), "-out", str(pair.cert)),
    ]
    if issuer is not None:
        command += [
            "-CA",
            str(issuer.cert),
            "-CAkey",
            str(issuer.key),
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return pair
