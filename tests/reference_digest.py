"""The digest of a stream once more, in plain Python."""

from __future__ import annotations

MASK = 2**64 - 1


def mix(left: int, right: int) -> int:
    """Multiply and fold the halves of the product."""
    product = (left & MASK) * (right & MASK)
    return (product & MASK) ^ (product >> 64)


def signed(number: int) -> int:
    """Read 64 bits as a signed number."""
    return number - 2**64 if number >> 63 else number


def hash_text(text: bytes) -> int:
    """Hash the bytes of a row that could not be decoded."""
    result = mix(len(text) ^ 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93)
    whole = len(text) // 8 * 8
    for start in range(0, whole, 8):
        result = mix(result ^ int.from_bytes(text[start : start + 8], "little"), 0xA0761D6478BD642F)
    if whole < len(text):
        result = mix(result ^ int.from_bytes(text[whole:], "little"), 0xE7037ED1A0B428DB)
    return result


def hash_row(row: tuple[int, int, int, int] | bytes, number: int) -> int:
    """Hash one row: its type, client, tx and amount, or its text if it could not be decoded."""
    if isinstance(row, bytes):
        kind, type_, client, tx, amount = 2, 0, 0, 0, hash_text(row)
    else:
        kind, (type_, client, tx, amount) = 1, row
        amount = amount if type_ <= 2 else 0
    result = mix(client ^ 0x8EBC6AF09C88C6E3, tx ^ 0x589965CC75374CC3)
    result = mix(result ^ (amount & MASK), (type_ << 8 | kind) ^ 0x1D8E4E27C47D124F)
    return mix(result ^ number, 0xEB44ACCAB455D165)


def digest(rows: list[tuple[int, int, int, int] | bytes], position: int = 0) -> int:
    """Add up the rows of a stream from one position on."""
    return sum(hash_row(row, number) for number, row in enumerate(rows, position + 1)) & MASK
