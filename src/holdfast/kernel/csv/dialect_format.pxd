# A dialect as rows are read in it. Everything here is inlined: a plain stream loads no module for it.

from holdfast.kernel.codes cimport SPACE, TAB
from holdfast.kernel.platform cimport cbytes
from libc.string cimport memchr, memcmp

cdef enum:
    SEPARATORS_MAX = 3
    WORDS_MAX = 64
    PATTERNS_MAX = 16
    STAR = 42

ctypedef struct Text:
    cbytes start
    Py_ssize_t length
    int type  # what it names, if it names a type

ctypedef struct DialectFormat:
    int separators  # signs between groups of three digits
    Text separator[SEPARATORS_MAX]
    int words  # further words for types, in lower case
    Text word[WORDS_MAX]
    int patterns  # lines that are no rows
    Text pattern[PATTERNS_MAX]
    Py_ssize_t skip_rows  # how many lines come before the header

cdef inline bint matches(const Text *pattern, cbytes text, Py_ssize_t length) noexcept nogil:
    # Whether a whole text is what a pattern says. It goes back to the last star only, so the product of the lengths bounds it.
    cdef cbytes at = pattern.start
    cdef cbytes pattern_end = pattern.start + pattern.length
    cdef cbytes end = text + length
    cdef cbytes star = NULL
    cdef cbytes star_text = NULL
    # Most patterns begin with text, and most lines with another one.
    cdef cbytes first_star = <cbytes>memchr(at, STAR, pattern.length)
    cdef Py_ssize_t fixed = pattern.length if first_star == NULL else first_star - at
    if fixed > length or memcmp(at, text, fixed) != 0:
        return False
    at += fixed
    text += fixed
    while text < end:
        if at < pattern_end and at[0] == STAR:
            star = at
            star_text = text
            at += 1
        elif at < pattern_end and at[0] == text[0]:
            at += 1
            text += 1
        elif star != NULL:
            star_text += 1
            at = star + 1
            text = star_text
        else:
            return False
    while at < pattern_end and at[0] == STAR:
        at += 1
    return at == pattern_end

cdef inline bint is_footer(const DialectFormat *dialect, cbytes text, Py_ssize_t length) noexcept nogil:
    # Whether a line, without its line end, is no row.
    cdef int number
    while length and (text[length - 1] == SPACE or text[length - 1] == TAB):
        length -= 1
    while length and (text[0] == SPACE or text[0] == TAB):
        text += 1
        length -= 1
    for number in range(dialect.patterns):
        if matches(&dialect.pattern[number], text, length):
            return True
    return False
