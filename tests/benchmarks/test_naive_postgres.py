"""The yardstick for PostgreSQL comes to the model's accounts, in its table too."""

from __future__ import annotations

import pytest
from benchmarks.workloads import Workload, csv_bytes, make_columns

from holdfast.domain.model import Model
from holdfast.domain.transaction import TransactionType

psycopg = pytest.importorskip("psycopg")


def test_same_accounts_as_the_model(postgres_server: str) -> None:
    """With disputes, locks, and rows that are refused."""
    from benchmarks.naive_postgres import load  # noqa: PLC0415  # it needs psycopg

    columns = make_columns(Workload(5500, clients=50, mix="mixed"))
    model = Model()
    for type_, client, tx, units in zip(*(column.tolist() for column in columns), strict=True):
        model.apply(TransactionType(type_), client, tx, units)
    lines = b"".join(csv_bytes(columns, ",")).decode().splitlines(keepends=True)
    with psycopg.connect(postgres_server, options="-c search_path=pg_temp") as connection:
        load(lines, connection)
        found = connection.execute(
            "SELECT client, available, held, locked FROM accounts ORDER BY client"
        ).fetchall()
    assert found == [
        (each.client, each.available_units, each.held_units, each.locked) for each in model.accounts()
    ]
