"""Counts of a stream's outcomes, and the rows at which applying stops so that a policy can decide.

A policy is asked once per outcome code, and its answers become a table here. So the loop over the rows looks
up one byte for a row that was not applied, and nothing at all for one that was.
"""

import cython
from cython.cimports.holdfast.kernel import codes
from cython.cimports.holdfast.kernel.platform import HF_DEBUG, hf_check
from cython.cimports.libc.stdint import UINT64_MAX, uint8_t, uint64_t
from cython.cimports.libc.string import memcpy, memset

BUILD = "debug" if HF_DEBUG else "release"
"""Which kernel this is: the debug build checks every index and invariant."""

CONTINUE = 0
"""Go on with the next row."""
STOP = 1
"""Stop after this row and return to the caller."""
BUDGET = 2
"""Count the row against the budget, and stop after the row that exceeds it."""

CODES = {
    "APPLIED": codes.APPLIED,
    "ROW_TOO_LONG": codes.ROW_TOO_LONG,
    "MALFORMED_ROW": codes.MALFORMED_ROW,
    "UNKNOWN_TYPE": codes.UNKNOWN_TYPE,
    "INVALID_CLIENT": codes.INVALID_CLIENT,
    "INVALID_TX": codes.INVALID_TX,
    "MISSING_AMOUNT": codes.MISSING_AMOUNT,
    "INVALID_AMOUNT": codes.INVALID_AMOUNT,
    "AMOUNT_TOO_PRECISE": codes.AMOUNT_TOO_PRECISE,
    "AMOUNT_OUT_OF_RANGE": codes.AMOUNT_OUT_OF_RANGE,
    "AMOUNT_NOT_POSITIVE": codes.AMOUNT_NOT_POSITIVE,
    "DUPLICATE_TX": codes.DUPLICATE_TX,
    "TX_ID_REUSED": codes.TX_ID_REUSED,
    "TX_NOT_FOUND": codes.TX_NOT_FOUND,
    "CLIENT_MISMATCH": codes.CLIENT_MISMATCH,
    "NOT_DISPUTABLE": codes.NOT_DISPUTABLE,
    "ACCOUNT_LOCKED": codes.ACCOUNT_LOCKED,
    "ALREADY_DISPUTED": codes.ALREADY_DISPUTED,
    "ALREADY_CHARGED_BACK": codes.ALREADY_CHARGED_BACK,
    "NOT_DISPUTED": codes.NOT_DISPUTED,
    "INSUFFICIENT_FUNDS": codes.INSUFFICIENT_FUNDS,
    "BALANCE_OVERFLOW": codes.BALANCE_OVERFLOW,
}
"""The numbers compiled into the kernel; a test compares them with the domain's."""
TYPE_CODES = {
    "DEPOSIT": codes.DEPOSIT,
    "WITHDRAWAL": codes.WITHDRAWAL,
    "DISPUTE": codes.DISPUTE,
    "RESOLVE": codes.RESOLVE,
    "CHARGEBACK": codes.CHARGEBACK,
}


@cython.cclass
class Tally:
    """Counts outcomes by code and applies a policy's table.

    Args:
        actions: 256 bytes, for each outcome code one of CONTINUE, STOP and BUDGET; by default all are CONTINUE.
        budget_rows: How many rows the budget covers, whatever the number of rows.
        budget_ppm: How many more rows it covers per million decided rows.
        budget_from_rows: From which row on the budget is checked.

    Raises:
        ValueError: If ``actions`` is not 256 bytes long.
    """

    def __init__(
        self,
        actions: bytes = bytes(256),
        *,
        budget_rows: uint64_t = UINT64_MAX,
        budget_ppm: uint64_t = 0,
        budget_from_rows: uint64_t = 0,
    ):
        if len(actions) != 256:
            raise ValueError(f"actions has one byte for each of 256 codes, not {len(actions)}")
        table: cython.pointer[cython.const[uint8_t]] = actions
        code: cython.int
        for code in range(256):
            self.stops |= table[code]
        memcpy(self.actions, table, CODES_MAX)
        self.budget_rows = budget_rows
        self.budget_ppm = budget_ppm
        self.budget_from_rows = budget_from_rows

    @property
    def applied(self) -> int:
        """How many rows were applied."""
        return self.rows - self.refused

    @property
    def refused(self) -> int:
        """How many rows were decided and not applied."""
        return self.refused_rows

    def refused_by_code(self) -> dict:
        """Give the number of refused rows for each code that occurred, in order of the codes."""
        code: cython.int
        return {code: self.counts[code] for code in range(CODES_MAX) if self.counts[code]}

    @property
    def exceeds_budget(self) -> bool:
        """Whether more rows count against the budget than it covers, however few rows there were."""
        return self.budgeted > self.budget()

    def may_stop(self) -> bool:
        """Say whether there are outcomes at which it stops, or may stop once the budget is used up."""
        return self.stops != 0

    @cython.cfunc
    def fresh(self) -> Tally:
        """Make an empty tally with the same actions, for another stream."""
        other: Tally = Tally.__new__(Tally)
        memcpy(other.actions, self.actions, CODES_MAX)
        other.stops = self.stops
        other.budget_rows = self.budget_rows
        other.budget_ppm = self.budget_ppm
        other.budget_from_rows = self.budget_from_rows
        return other

    @cython.cfunc
    @cython.exceptval(check=False)
    def go_on(self, rows_before: uint64_t, budgeted: uint64_t) -> cython.void:
        """Judge the budget as if these rows of the stream had been counted here."""
        self.rows_before = rows_before
        self.budgeted = budgeted

    @cython.cfunc
    @cython.exceptval(check=False)
    def add(self, other: Tally) -> cython.void:
        """Add the counts of another tally."""
        code: cython.int
        self.rows += other.rows
        if other.refused_rows:
            self.refused_rows += other.refused_rows
            for code in range(CODES_MAX):
                self.counts[code] += other.counts[code]

    @cython.cfunc
    @cython.exceptval(check=False)
    def clear(self) -> cython.void:
        """Set all counts to zero."""
        if self.refused_rows:
            memset(self.counts, 0, cython.sizeof(self.counts))
        self.rows = self.refused_rows = self.budgeted = self.rows_before = 0
        self.is_stopped = False

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def budget(self) -> uint64_t:
        if self.budget_ppm == 0:
            return self.budget_rows
        rows: uint64_t = self.rows_before + self.rows
        return (
            self.budget_rows
            + rows // 1_000_000 * self.budget_ppm
            + rows % 1_000_000 * self.budget_ppm // 1_000_000
        )

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def refuse(self, code: uint8_t) -> cython.bint:
        """Count a row that was not applied, which ``rows`` counts already; say whether applying stops there."""
        hf_check(code < CODES_MAX)
        self.counts[code] += 1
        self.refused_rows += 1
        if self.actions[code] == 0:
            return False
        if self.actions[code] == 1:
            self.is_stopped = True
            return True
        self.budgeted += 1
        if self.rows_before + self.rows >= self.budget_from_rows and self.budgeted > self.budget():
            self.is_stopped = True
            return True
        return False
