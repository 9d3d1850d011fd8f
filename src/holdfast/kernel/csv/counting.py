"""Counts the rows of CSV text without decoding them, at a fraction of the cost."""

import cython
from cython.cimports.cpython.buffer import PyBuffer_Release
from cython.cimports.holdfast.kernel.codes import NEWLINE, RETURN, SPACE, TAB
from cython.cimports.holdfast.kernel.columns import open_text
from cython.cimports.holdfast.kernel.platform import cbytes
from cython.cimports.libc.stdint import uint8_t, uint64_t
from cython.cimports.libc.string import memchr

__all__ = ["RowCounter"]

MARK_BYTES = cython.declare(cython.int, 3)
MARK = cython.declare(cython.p_const_char, b"\xef\xbb\xbf")


@cython.final
@cython.no_gc
@cython.cclass
class RowCounter:
    """Counts the lines of a stream that are not blank, in any split: the rows that a decoder makes of them, and the header.

    A line that has not ended is not counted. A byte order mark before everything is no text.
    """

    count: uint64_t
    mark_bytes: cython.int
    has_text: cython.bint
    has_return: cython.bint

    @property
    def rows(self) -> int:
        """How many there were so far."""
        return self.count

    def feed(self, data) -> None:
        """Take the next bytes."""
        view: Py_buffer
        open_text(data, cython.address(view))
        try:
            with cython.nogil:
                self.take(cython.cast(cbytes, view.buf), view.len)
        finally:
            PyBuffer_Release(cython.address(view))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take(self, text: cbytes, size: cython.Py_ssize_t) -> cython.void:
        end: cbytes = text + size
        while text < end and self.mark_bytes < MARK_BYTES:
            if text[0] == cython.cast(uint8_t, MARK[self.mark_bytes]):
                self.mark_bytes += 1
                text += 1
            else:
                self.has_text = self.mark_bytes > 0
                self.mark_bytes = MARK_BYTES
        while text < end:
            found: cbytes = cython.cast(cbytes, memchr(text, NEWLINE, end - text))
            line_end: cbytes = end if found == cython.NULL else found
            if not self.has_text:
                self.look_for_text(text, line_end)
            if found == cython.NULL:
                return
            self.count += self.has_text
            self.has_text = self.has_return = False
            text = found + 1

    @cython.cfunc
    @cython.nogil
    @cython.inline
    @cython.exceptval(check=False)
    def look_for_text(self, text: cbytes, end: cbytes) -> cython.void:
        """Look at a line, or a part of one, that was blank so far. A return is blank if nothing but the line end follows it."""
        while text < end:
            if self.has_return or not (text[0] == SPACE or text[0] == TAB or text[0] == RETURN):
                self.has_text = True
                return
            self.has_return = text[0] == RETURN
            text += 1
