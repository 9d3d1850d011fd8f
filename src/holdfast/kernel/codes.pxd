# The numbers of the hot loops, as constants of the C compiler. A test equates them with the domain's Outcome and
# TransactionType.

cdef enum:
    # Transaction types.
    NO_TYPE = 0
    DEPOSIT = 1
    WITHDRAWAL = 2
    DISPUTE = 3
    RESOLVE = 4
    CHARGEBACK = 5

    # Outcomes, in order of precedence.
    UNDECIDED = 0
    APPLIED = 1
    ROW_TOO_LONG = 10
    MALFORMED_ROW = 11
    UNKNOWN_TYPE = 12
    INVALID_CLIENT = 13
    INVALID_TX = 14
    MISSING_AMOUNT = 15
    INVALID_AMOUNT = 16
    AMOUNT_TOO_PRECISE = 17
    AMOUNT_OUT_OF_RANGE = 18
    AMOUNT_NOT_POSITIVE = 30
    DUPLICATE_TX = 31
    TX_ID_REUSED = 32
    TX_NOT_FOUND = 33
    CLIENT_MISMATCH = 34
    NOT_DISPUTABLE = 35
    ACCOUNT_LOCKED = 36
    ALREADY_DISPUTED = 37
    ALREADY_CHARGED_BACK = 38
    NOT_DISPUTED = 39
    INSUFFICIENT_FUNDS = 40
    BALANCE_OVERFLOW = 41

    # Bytes of a text.
    TAB = 9
    NEWLINE = 10
    RETURN = 13
    SPACE = 32
    QUOTE = 34
    PLUS = 43
    COMMA = 44
    MINUS = 45
    POINT = 46
    ZERO = 48
    NINE = 57
    COLON = 58
    BACKSLASH = 92
    OPEN_BRACKET = 91
    CLOSE_BRACKET = 93
    OPEN_BRACE = 123
    CLOSE_BRACE = 125

cdef inline bint is_unreadable(int code) noexcept nogil:
    # Whether a row got its code where it was read, before any ledger saw it.
    return ROW_TOO_LONG <= code <= AMOUNT_OUT_OF_RANGE
