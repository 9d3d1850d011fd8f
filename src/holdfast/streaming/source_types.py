"""What rows can come from, for annotations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable, Sequence
from typing import TypeAlias

from holdfast.domain.transaction import Transaction
from holdfast.io.compression import InputStream
from holdfast.io.input_types import Chunk, Input
from holdfast.kernel.batch import Batch

Piece: TypeAlias = Chunk | Batch | Transaction | Sequence[Transaction]
"""What an iterable source gives: bytes of CSV, a batch, a transaction or several."""

SourceData: TypeAlias = Input | InputStream | asyncio.StreamReader | Iterable[Piece] | AsyncIterable[Piece]
"""What a processor takes: a path, bytes, a binary file object, a stream, or an iterable of pieces."""
