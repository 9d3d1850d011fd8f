"""What all tests share: the import path of helpers, Hypothesis profiles, the build in pytest's header."""

from __future__ import annotations

import importlib
import os
import sys
from importlib import metadata
from pathlib import Path

from hypothesis import HealthCheck, settings

# Helpers (scenarios, strategies, reference_decoder) are plain modules beside this file.
sys.path.append(str(Path(__file__).parent))

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
