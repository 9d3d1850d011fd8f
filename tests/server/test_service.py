"""A server as a program uses it: a configuration and an engine, on a loop of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdfast import Deposit, Engine
from holdfast.net.address import Address
from holdfast.server import (
    ConfigError,
    InsecureAddressError,
    LastSnapshotError,
    SecurityConfig,
    ServerConfig,
    ServerLimits,
    Service,
    SnapshotConfig,
    Status,
)
from holdfast.server.tokens import format_entry
from server.serving import HEADER, LOOPS, run, until

if TYPE_CHECKING:
    from holdfast.net.address import Address as Where

ANY_PORT = (Address("127.0.0.1", 0),)


async def exchange(address: Where, data: bytes) -> bytes:
    """Send all there is to send, end the input, and give the replies."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(data)
    writer.write_eof()
    replies = await reader.read()
    writer.close()
    await writer.wait_closed()
    return replies


@pytest.mark.parametrize("loop", LOOPS)
def test_a_program_serves(loop: str, tmp_path: Path) -> None:
    """A server is bound, serves until it is stopped, tells its status, and ends with a snapshot."""
    target = tmp_path / "accounts.csv"
    listened: list[list[Where]] = []
    seen: list[Status | None] = []

    async def job() -> None:
        engine = Engine()
        engine.apply(Deposit(client=1, tx=1, amount="1"))
        config = ServerConfig(listen=ANY_PORT, snapshots=SnapshotConfig(target=target), grace_seconds=1)
        service = Service(config, engine)
        (address,) = service.bind()
        assert service.bind() == [address]
        serving = asyncio.ensure_future(service.serve(on_listening=listened.append, on_status=seen.append))
        assert b'"applied": 1' in await exchange(address, HEADER + b"deposit,1,2,1\n")
        service.stop()
        await serving
        with pytest.raises(OSError, match=r"."):
            await exchange(address, HEADER)
        assert listened == [[address]]

    run(loop, job())
    assert target.read_text() == "client,available,held,total,locked\n1,2.0000,0.0000,2.0000,false\n"
    assert isinstance(seen[0], Status)
    assert seen[-1] is None


@pytest.mark.parametrize("loop", LOOPS)
def test_a_file_that_is_replaced_by_a_fifo(
    loop: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Reading the files again waits for nothing: senders are served meanwhile, with the tokens that there were."""
    tokens = tmp_path / "tokens"
    tokens.write_text(format_entry("secret", ["*"]) + "\n")
    tokens.chmod(0o600)

    async def job() -> None:
        config = ServerConfig(
            listen=ANY_PORT, security=SecurityConfig(tokens=str(tokens)), grace_seconds=1, loop="auto"
        )
        service = Service(config, Engine())
        (address,) = service.bind()
        serving = asyncio.ensure_future(service.serve())
        tokens.unlink()
        os.mkfifo(tokens, 0o600)
        for _ in range(3):
            service.reload()
        assert b'"applied": 1' in await exchange(
            address, b"#holdfast token=secret\n" + HEADER + b"deposit,1,1,1\n"
        )
        await until(lambda: "stay as they were" in caplog.text)
        service.stop()
        await serving

    run(loop, job())
    assert f"{tokens}: this is not a regular file" in caplog.text


@pytest.mark.parametrize("loop", LOOPS)
def test_a_last_snapshot_that_fails(loop: str, tmp_path: Path) -> None:
    """The server ends in order, says why there is no snapshot, and leaves the accounts in the engine."""
    directory = tmp_path / "gone"
    directory.mkdir()

    async def job() -> None:
        engine = Engine()
        config = ServerConfig(listen=ANY_PORT, snapshots=SnapshotConfig(target=directory / "a.csv"))
        service = Service(config, engine)
        (address,) = service.bind()
        serving = asyncio.ensure_future(service.serve())
        await exchange(address, HEADER + b"deposit,1,1,1\n")
        directory.rmdir()
        service.stop()
        with pytest.raises(LastSnapshotError):
            await serving
        assert len(engine.accounts()) == 1

    run(loop, job())


def test_what_does_not_go_together_is_refused() -> None:
    """A configuration is checked when it is made, or when the server is."""
    with pytest.raises(ConfigError, match="tls_cert is missing"):
        SecurityConfig(tls_key="key.pem")
    with pytest.raises(ConfigError, match="at least one address"):
        ServerConfig(listen=())
    for bad in (-1.0, float("nan")):
        with pytest.raises(ConfigError, match="grace_seconds is 0 or more"):
            ServerConfig(grace_seconds=bad)
    with pytest.raises(ValueError, match="connection_bytes_max is 20000, too little"):
        Service(ServerConfig(limits=ServerLimits(connection_bytes_max=20_000)), Engine())
    with pytest.raises(ValueError, match="a snapshot is written as one of"):
        Service(ServerConfig(snapshots=SnapshotConfig(target="a.parquet")), Engine())


def test_other_addresses_than_loopback_need_certificates_and_tokens() -> None:
    """An address that other machines can reach is not taken without, unless the configuration insists."""
    everywhere = (Address("0.0.0.0", 0),)  # noqa: S104  # what is tested
    with pytest.raises(InsecureAddressError, match=r"other machines could send to 0\.0\.0\.0:0"):
        Service(ServerConfig(listen=everywhere), Engine()).bind()
    service = Service(ServerConfig(listen=everywhere, security=SecurityConfig(allow_insecure=True)), Engine())
    assert service.bind()[0].port > 0
    service.close()


def test_the_program_on_the_page(tmp_path: Path) -> None:
    """The program that docs/server.md shows prints what the page says."""
    page = (Path(__file__).parents[2] / "docs" / "server.md").read_text(encoding="utf-8")
    program = page.partition("```python\n")[2].partition("```")[0]
    output = page.partition("```output\n")[2].partition("```")[0]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.stderr) == (output, "")
    assert (tmp_path / "accounts.csv").exists()
