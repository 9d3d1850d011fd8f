"""``holdfast serve --standby``: another server on the same ledger in PostgreSQL takes over when the first one ends."""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from e2e.command import TIMEOUT_SECONDS, run, start
from e2e.serving import receive_all, receive_line, serving
from holdfast import Ledger
from storage.ledgers import csv_of, draw_rows, expected_accounts, found_accounts

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("psycopg")


def test_a_standby_takes_over(tmp_path: Path, postgres_url: str) -> None:
    """The first server is killed while it acknowledges: the second one has every acknowledged row, and takes the rest."""
    rows = draw_rows(6000)
    text = csv_of(rows)
    (tmp_path / "second").mkdir()
    ports = tmp_path / "second" / "port"
    with serving(tmp_path, "--data", postgres_url) as first:
        waiting = start(
            "serve", "--listen", "127.0.0.1:0", "--port-file", ports, "--data", postgres_url, "--standby",
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert waiting.stderr is not None
        try:
            assert b"waiting to take over" in waiting.stderr.readline()
            with first.connect() as connection:
                connection.sendall(b"#holdfast ack=rows stream=day\n" + text[: len(text) // 2])
                told = receive_line(connection) + receive_line(connection)
                first.process.kill()
                told += receive_all(connection)
            acknowledged = max([json.loads(line).get("ack", 0) for line in told.split(b"\n")[:-1]])
            deadline = time.monotonic() + TIMEOUT_SECONDS
            while not ports.exists():
                assert waiting.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
            source = tmp_path / "rows.csv"
            source.write_bytes(text)
            port = ports.read_text().split()[0]
            sent = run("send", source, "--to", f"127.0.0.1:{port}", "--stream", "day")
            assert sent.code == 0, sent
            waiting.terminate()
            assert waiting.wait(TIMEOUT_SECONDS) == 0
        finally:
            waiting.kill()
            waiting.wait()
            waiting.stderr.close()
    with Ledger.open(postgres_url) as ledger:
        state = ledger.find_stream("day")
        assert state is not None
        assert 0 < acknowledged <= state.rows == len(rows)
        assert found_accounts(ledger.accounts()) == expected_accounts(rows)


def test_a_standby_is_told_to_stop(tmp_path: Path, postgres_url: str) -> None:
    """It waits for as long as it takes, and hears signals meanwhile; a file has no standby."""
    with Ledger.open(postgres_url):
        waiting = start(
            "serve", "--data", postgres_url, "--standby", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert waiting.stderr is not None
        with waiting:
            assert b"waiting to take over" in waiting.stderr.readline()
            waiting.terminate()
            assert waiting.wait(TIMEOUT_SECONDS) == 143
    refused = run("serve", "--data", tmp_path / "p.db", "--standby")
    assert refused.code == 2
    assert "only a ledger in PostgreSQL is taken over" in refused.errors
