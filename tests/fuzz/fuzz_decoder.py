"""A coverage-guided fuzz target for the decoders: ``python tests/fuzz/fuzz_decoder.py -max_total_time=30 corpus_dir``.

An input is eight bytes of configuration, which also say whether it is CSV or NDJSON, and then the stream itself.
The decoder must agree with the reference
decoder, whole, byte by byte, in random pieces and with flushes in between, and batches must begin and end at
the same rows however the stream is split; what is said of a malformed row must be true of it. For its coverage to
count, the kernel should be built with clang's ``-fsanitize=fuzzer-no-link``; the reference decoder's is counted in
any case.
"""

from __future__ import annotations

import dataclasses
import importlib
import random
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).parents[1]))

import reference_decoder
import reference_ndjson
from holdfast.kernel.csv.decoder import CsvDecoder, HeaderError
from holdfast.kernel.ndjson.decoder import NdjsonDecoder
from reference_decoder import Config, Row, UnusableHeaderError, decode, rows_of
from reference_details import check_details
from reference_ndjson import decode_ndjson

if TYPE_CHECKING:
    from holdfast.kernel.batch import Batch

PREFIX_BYTES = 8
BITS = (16, 32, 64)
ROW_BYTES_MAX = (4096, 24, 48, 64, 100, 255, 1000)
BATCH_ROWS = (8192, 1, 2, 3, 10)
EXCESS_DECIMALS = ("refuse", "half_even", "truncate")


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """What one input asks for."""

    config: Config
    batch_rows: int
    keep_source: bool
    is_ndjson: bool
    seed: int
    stream: bytes


def read_case(data: bytes) -> Case | None:
    """Read an input; the digit 0 stands for the first choice, so that seeds can be written by hand."""
    if len(data) < PREFIX_BYTES:
        return None
    decimals, client, tx, row_bytes, batch, excess, source, seed = (
        byte - ord("0") for byte in data[:PREFIX_BYTES]
    )
    config = Config(
        decimals=decimals % 10,
        client_bits=BITS[client % len(BITS)],
        tx_bits=BITS[tx % len(BITS)],
        row_bytes_max=ROW_BYTES_MAX[row_bytes % len(ROW_BYTES_MAX)],
        excess_decimals=EXCESS_DECIMALS[excess % len(EXCESS_DECIMALS)],
    )
    return Case(
        config,
        BATCH_ROWS[batch % len(BATCH_ROWS)],
        source % 2 == 0,
        source // 2 % 2 == 1,
        seed,
        data[PREFIX_BYTES:],
    )


def in_pieces(stream: bytes, seed: int) -> list[bytes]:
    """Split a stream: short pieces where much can go wrong, long ones where only the split itself can."""
    source = random.Random(seed)
    longest = source.choice([2, 9, 70, 5000])
    pieces = []
    while stream:
        length = source.randrange(longest + 1)
        pieces.append(stream[:length])
        stream = stream[length:]
    return pieces


def run(case: Case, pieces: list[bytes], *, flush: bool = False) -> list[list[Row]] | None:
    """Decode pieces into batches of rows; None means that there is no usable header."""
    make = NdjsonDecoder if case.is_ndjson else CsvDecoder
    decoder = make(case.config.settings(case.batch_rows), keep_source=case.keep_source)
    batches: list[Batch | None] = []
    try:
        for piece in pieces:
            batches += decoder.feed(piece)
            batches += [decoder.flush()] if flush else []
        batches.append(decoder.finish())
    except HeaderError:
        require(not any(batches), "a header error after the first batch")
        return None
    full = [batch for batch in batches if batch is not None]
    if case.keep_source:
        return [rows_of([batch]) for batch in full]
    return [
        [
            Row(*columns, line=batch.line(row), offset=batch.offset(row), raw=b"")
            for row, columns in enumerate(
                zip(batch.outcomes, batch.types, batch.clients, batch.txs, batch.amounts, strict=True)
            )
        ]
        for batch in full
    ]


def expect(case: Case) -> list[list[Row]] | None:
    """Decode with the reference, in batches as they must come."""
    try:
        rows = (decode_ndjson if case.is_ndjson else decode)(case.stream, case.config)
    except UnusableHeaderError:
        return None
    if not case.keep_source:
        rows = [dataclasses.replace(row, raw=b"") for row in rows]
    return [rows[start : start + case.batch_rows] for start in range(0, len(rows), case.batch_rows)]


def require(condition: bool, message: str) -> None:
    """Fail loudly, under ``python -O`` as well."""
    if not condition:
        raise AssertionError(message)


def check(data: bytes) -> None:
    """Hold the decoder to everything that must be true of it for this input."""
    case = read_case(data)
    if case is None:
        return
    try:
        expected = expect(case)
    except RecursionError:
        # Python's own reader of JSON goes less deep.
        return
    for name, pieces in (
        ("whole", [case.stream]),
        ("random pieces", in_pieces(case.stream, case.seed)),
        ("byte by byte", [bytes([byte]) for byte in case.stream[:2000]] + [case.stream[2000:]]),
    ):
        found = run(case, pieces)
        require(found == expected, f"{name}: {found} instead of {expected}, {case}")
    flushed = run(case, in_pieces(case.stream, case.seed + 1), flush=True)
    joined = None if flushed is None else [row for rows in flushed for row in rows]
    wanted = None if expected is None else [row for rows in expected for row in rows]
    require(joined == wanted, f"flushed: {joined} instead of {wanted}, {case}")
    if not case.is_ndjson:
        check_details(case.stream, case.config)


def main() -> None:
    """Fuzz until told to stop; the arguments are libFuzzer's."""
    # Needed for fuzzing alone, so that a test can run the corpus without it.
    atheris = importlib.import_module("atheris")
    for module in (reference_decoder, reference_ndjson):
        for function in vars(module).values():
            if isinstance(function, types.FunctionType) and function.__module__ == module.__name__:
                atheris.instrument_func(function)
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
