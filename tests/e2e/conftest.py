"""What the tests of the command share: the marker for slow ones, and signals as a terminal would leave them."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from e2e.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", "slow: takes seconds rather than milliseconds (-m 'not slow' leaves it out)"
    )


@pytest.fixture(autouse=True, scope="session")
def _signals_are_not_ignored() -> Iterator[None]:
    """Whoever runs the tests may ignore a signal (a shell does for background jobs), and that is inherited."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    ignored = [number for number in numbers if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(scope="session")
def server_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server for the rows that are sent; none of them is ever applied."""
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield str(server.port)
