"""What all tests share: the import path of helpers, Hypothesis profiles, the build in pytest's header."""

from __future__ import annotations

import importlib
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

# Helpers (scenarios, strategies, reference_decoder) are plain modules beside this file.
sys.path.append(str(Path(__file__).parent))

_LEDGERS = pytest.StashKey[int]()
_SLOW_IS_FINE = (HealthCheck.too_slow, HealthCheck.data_too_large)

settings.register_profile("dev", max_examples=100, deadline=None, suppress_health_check=_SLOW_IS_FINE)
settings.register_profile("quick", settings.get_profile("dev"), max_examples=15)
settings.register_profile("ci", settings.get_profile("dev"), max_examples=300, print_blob=True)
settings.register_profile("nightly", settings.get_profile("ci"), max_examples=1_000)
settings.register_profile("thorough", settings.get_profile("ci"), max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_report_header() -> str:
    """Say which Holdfast is under test: a compiled module may be older than the source beside it."""
    return (
        f"holdfast: {_version()}, kernel: {_kernel_build()}, hypothesis examples: {settings().max_examples}"
    )


def _version() -> str:
    try:
        return metadata.version("holdfast")
    except metadata.PackageNotFoundError:
        return "not installed"


def _kernel_build() -> str:
    try:
        return str(importlib.import_module("holdfast.kernel").BUILD)
    except (ImportError, AttributeError):
        return "not built"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Give the URL of a database on a server of this session's own."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    from benchmarks.postgres_server import find_binaries, running_server  # noqa: PLC0415  # it is for Unix

    binaries = find_binaries()
    if binaries is None:
        pytest.skip("there is no PostgreSQL server here")
    with running_server(binaries, "max_connections=60", "shared_buffers=32MB") as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str, request: pytest.FixtureRequest) -> str:
    """Give the URL of a ledger that is not there yet."""
    request.session.stash[_LEDGERS] = count = request.session.stash.get(_LEDGERS, 0) + 1
    return f"{postgres_server}?holdfast_schema=ledger_{count}&holdfast_reconnect_seconds=40"
