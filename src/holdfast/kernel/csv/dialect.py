"""Lets a decoder read a dialect. Only a stream in one loads this."""

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython.cimports.holdfast.kernel.codes import COMMA, POINT, SPACE, TAB
from cython.cimports.holdfast.kernel.csv.decoder import CsvDecoder
from cython.cimports.holdfast.kernel.csv.dialect_format import (
    PATTERNS_MAX,
    SEPARATORS_MAX,
    WORDS_MAX,
    DialectFormat,
    Text,
)
from cython.cimports.holdfast.kernel.platform import cbytes

from holdfast.domain.dialect import TYPES

__all__ = ["in_dialect"]

_BLANKS = (" ", "\N{NO-BREAK SPACE}", "\N{NARROW NO-BREAK SPACE}")
_APOSTROPHES = ("'", "\N{RIGHT SINGLE QUOTATION MARK}")


def in_dialect(decoder: CsvDecoder, dialect: object) -> CsvDecoder:
    """Make a decoder with the same settings for a stream in a dialect.

    Its rows are those of the text as it comes: offsets, raw rows and digests are of that text. The encoding is for whoever reads
    the bytes.

    Args:
        decoder: Has the settings.
        dialect: How the stream is written.
    """
    other: CsvDecoder = decoder.fresh()
    memory: bytes = PyBytes_FromStringAndSize(cython.NULL, cython.sizeof(DialectFormat))
    form: cython.pointer[DialectFormat] = cython.cast(
        cython.pointer[DialectFormat], PyBytes_AS_STRING(memory)
    )
    texts: list = []
    _put_separators(form, dialect.thousands, texts)
    _put_words(form, dialect.types, texts)
    form.patterns = 0
    for pattern in dialect.footer[:PATTERNS_MAX]:
        form.pattern[form.patterns] = _keep(pattern.strip(" \t"), texts)
        form.patterns += 1
    form.skip_rows = dialect.skip_rows
    other.format.delimiter = ord(dialect.delimiter)
    other.format.decimal_sign = COMMA if dialect.decimal_comma else POINT
    other.format.tab = SPACE if other.format.delimiter == TAB else TAB
    other.format.dialect = form
    other.dialect = dialect
    other.dialect_memory = (memory, texts)
    # Another dialect may have read the header that is known.
    other.known_header = other.known_roles = None
    return other


@cython.cfunc
def _put_separators(form: cython.pointer[DialectFormat], sign: str, texts: list):
    form.separators = 0
    signs = _BLANKS if sign in _BLANKS else _APOSTROPHES if sign in _APOSTROPHES else (sign,)
    for each in signs[:SEPARATORS_MAX] if sign else ():
        form.separator[form.separators] = _keep(each, texts)
        form.separators += 1


@cython.cfunc
def _put_words(form: cython.pointer[DialectFormat], types: dict, texts: list):
    form.words = 0
    for type_, words in types.items():
        for word in words:
            if form.words == WORDS_MAX:
                return
            # Only letters of ASCII have a case here, as in the five words.
            lower = word.encode().lower().decode()
            form.word[form.words] = _keep(lower, texts)
            form.word[form.words].type = TYPES.index(type_) + 1
            form.words += 1


@cython.cfunc
def _keep(text: str, texts: list) -> Text:
    """Give a text as UTF-8 that lives as long as the list."""
    data: bytes = text.encode()
    texts.append(data)
    found: Text
    found.start = cython.cast(cbytes, PyBytes_AS_STRING(data))
    found.length = PyBytes_GET_SIZE(data)
    found.type = 0
    return found
