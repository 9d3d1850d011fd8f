"""Formats: one registry, found by name, suffix, media type and first bytes; the same rows however they were found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.domain.settings import Settings
from holdfast.io.formats.detection import choose_decoder
from holdfast.io.formats.registry import (
    FORMATS,
    find_format,
    format_of_bytes,
    format_of_file,
    format_of_media_type,
)
from holdfast.kernel.csv.decoder import CsvDecoder, HeaderError
from holdfast.kernel.ndjson.decoder import NdjsonDecoder
from reference_decoder import rows_of
from strategies import cut, cuts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.io.formats.format import Decoder
    from holdfast.kernel.batch import Batch
    from reference_decoder import Row

CSV_TEXT = b"type,client,tx,amount\ndeposit,1,1,1.5\ndispute,1,1\n"
NDJSON_TEXT = (
    b'{"type":"deposit","client":1,"tx":1,"amount":1.5}\n\n{"type":"dispute","client":1,"tx":1}\n{"x":1}'
)


def decoder_of(name: str | None, file_name: str = "<stdin>") -> Decoder:
    """Choose a decoder that keeps the text of its rows."""
    return choose_decoder(name, file_name, CsvDecoder(keep_source=True), Settings())


def run(decoder: Decoder, pieces: Iterable[bytes]) -> list[Row]:
    """Decode pieces to the end."""
    batches: list[Batch | None] = []
    for piece in pieces:
        batches += decoder.feed(piece)
    batches.append(decoder.finish())
    return rows_of(batch for batch in batches if batch is not None)


def test_names() -> None:
    """Each format has a name and suffixes of its own; a wrong name says which ones there are."""
    assert [find_format(each.name) for each in FORMATS] == list(FORMATS)
    assert len({suffix for each in FORMATS for suffix in each.suffixes}) == sum(
        len(each.suffixes) for each in FORMATS
    )
    with pytest.raises(ValueError, match="there is no format 'json'; there are csv and ndjson"):
        find_format("json")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("day.csv", "csv"),
        ("/a.ndjson/DAY.CSV.GZ", "csv"),
        ("day.ndjson", "ndjson"),
        ("day.jsonl", "ndjson"),
        ("day.JSONL.zst", "ndjson"),
        ("day.ndjson.xz", "ndjson"),
        ("day.ndjson.gz.gz", None),
        ("day.json", None),
        ("day", None),
        ("<stdin>", None),
        ("ndjson", None),
        ("", None),
    ],
)
def test_suffixes(name: str, found: str | None) -> None:
    """The suffix tells, whatever its case, and below the suffix of a compression."""
    format_ = format_of_file(name)
    assert (format_ and format_.name) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("text/csv", "csv"),
        ("Text/CSV; charset=utf-8; header=present", "csv"),
        ("application/x-ndjson", "ndjson"),
        (" application/jsonl ;q=1", "ndjson"),
        ("application/json", None),
        ("", None),
    ],
)
def test_media_types(text: str, found: str | None) -> None:
    """A media type tells, whatever its parameters."""
    format_ = format_of_media_type(text)
    assert (format_ and format_.name) == found


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"", None),
        (b"\xef", None),
        (b"\xef\xbb\xbf \n\r\n\t", None),
        (b"{", None),
        (b"{ \t", None),
        (b'{"', "ndjson"),
        (b'\xef\xbb\xbf\n { "type"', "ndjson"),
        (b"t", "csv"),
        (b"{}", "csv"),
        (b"{id},type", "csv"),
        (b'{\n  "type"', "csv"),
        (b'[{"type"', "csv"),
        (b"\x1f\x8b", "csv"),
    ],
)
def test_first_bytes(head: bytes, found: str | None) -> None:
    """The first bytes tell as soon as they can; what may be a header of a CSV is one."""
    format_ = format_of_bytes(head)
    assert (format_ and format_.name) == found


@given(cuts(), st.sampled_from([b"", b"\xef\xbb\xbf", b"\n \t\r\n", b"\xef\xbb\xbf\n"]))
def test_detection_changes_nothing(places: list[int], start: bytes) -> None:
    """A decoder that has to find out gives the rows of the decoder that knows, in any split."""
    for text, name in ((CSV_TEXT, "csv"), (NDJSON_TEXT, "ndjson")):
        data = start + text
        expected = run(decoder_of(name), [data])
        assert len(expected) >= 2
        assert run(decoder_of(None), cut(data, places)) == expected
        assert run(decoder_of(None), cut(data, range(len(data)))) == expected


def test_a_decoder_that_found_out_goes_on_elsewhere() -> None:
    """Later stretches get a decoder of the format that was found; before that there is none."""
    decoder = decoder_of(None)
    assert decoder.feed(b"\n") == []
    assert decoder.flush() is None
    assert (decoder.has_header, decoder.lines) == (False, 0)
    with pytest.raises(ValueError, match="first bytes"):
        decoder.at(1)
    assert decoder.feed(NDJSON_TEXT) == []
    assert (decoder.has_header, decoder.lines) == (True, 4)
    assert isinstance(decoder.at(100), NdjsonDecoder)


def test_a_format_that_was_asked_for_is_not_doubted() -> None:
    """What is asked for goes before the suffix, and the suffix before the first bytes."""
    assert isinstance(decoder_of("ndjson", "day.csv"), NdjsonDecoder)
    assert isinstance(decoder_of(None, "day.jsonl.gz"), NdjsonDecoder)
    assert isinstance(decoder_of("csv", "day.ndjson"), CsvDecoder)
    assert isinstance(decoder_of(None, "day.csv"), CsvDecoder)
    with pytest.raises(HeaderError, match="this looks like NDJSON, not like CSV; --format ndjson reads it"):
        run(decoder_of(None, "day.csv"), [NDJSON_TEXT])


@pytest.mark.parametrize("length", [5_000, 2 << 20])
def test_blanks_before_everything(length: int) -> None:
    """Many blank lines come to an end, or are given to the decoder of CSV, which skips them as well."""
    blanks = b" \n" * (length // 2)
    assert len(run(decoder_of(None), [blanks, CSV_TEXT])) == 2
    assert len(run(decoder_of(None), [blanks + CSV_TEXT])) == 2
    for nothing in (b"", blanks):
        with pytest.raises(HeaderError):
            run(decoder_of(None), [nothing])
