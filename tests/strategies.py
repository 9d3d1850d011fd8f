"""What Hypothesis draws numbers, rules and transactions from: adversarial on purpose.

Ids and amounts sit on the limits of their widths and on powers of two; clients and transactions are few, so
that disputes hit; a stream's mix of types is drawn first, so that some types are missing from it altogether.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from hypothesis import strategies as st

from holdfast.domain.amount import UNITS_MAX
from holdfast.domain.rules import KNOBS, PROFILES, Rules
from holdfast.domain.transaction import TransactionType

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hypothesis.strategies import DrawFn, SearchStrategy

    from scenarios import TransactionRow

Whole = TypeVar("Whole", bytes, "list[TransactionRow]")

POWERS = sorted({2**bits + step for bits in range(65) for step in (-1, 0, 1)})

# --- numbers ---


def edge_integers(low: int, high: int) -> SearchStrategy[int]:
    """Draw integers from ``low`` to ``high``, mostly where something may break: limits, powers of two ± 1."""
    edges = sorted({sign * power for power in POWERS for sign in (1, -1)} | {low, high})
    return st.sampled_from([edge for edge in edges if low <= edge <= high]) | st.integers(low, high)


def ids(bits: int) -> SearchStrategy[int]:
    """Draw ids of a width."""
    return edge_integers(0, 2**bits - 1)


def amounts() -> SearchStrategy[int]:
    """Draw well-formed amounts in units; most are positive, many small, many enormous."""
    return st.one_of(
        st.integers(1, 20),
        st.integers(1, 20),
        edge_integers(1, UNITS_MAX),
        st.sampled_from([UNITS_MAX, UNITS_MAX - 1, UNITS_MAX // 2, UNITS_MAX // 2 + 1, 1]),
        edge_integers(-UNITS_MAX, 1),
    )


def rules() -> SearchStrategy[Rules]:
    """Draw a profile, or any combination of knobs."""
    free = st.builds(Rules, **{knob: st.sampled_from(values) for knob, values in KNOBS.items()})
    return st.sampled_from(list(PROFILES.values())) | free


# --- transactions ---


@st.composite
def transaction_streams(
    draw: DrawFn, client_bits: int = 16, tx_bits: int = 32, rows_max: int = 80
) -> list[TransactionRow]:
    """Draw rows of well-formed transactions that have a lot to do with each other."""
    clients = draw(st.lists(ids(client_bits), min_size=1, max_size=3, unique=True))
    txs = draw(st.lists(ids(tx_bits), min_size=1, max_size=6, unique=True))
    pool = draw(st.lists(amounts(), min_size=1, max_size=4))
    # Deposits are where everything begins; any other type may be missing from a stream altogether.
    types = [TransactionType.DEPOSIT, *draw(st.lists(st.sampled_from(list(TransactionType)), max_size=9))]
    row = st.tuples(
        st.sampled_from(types),
        st.integers(0, len(txs) - 1),
        st.sampled_from([0] * 9 + [1, 2]),
        st.sampled_from(pool),
    )
    rows_min = draw(st.sampled_from([0, rows_max // 4, rows_max // 2]))
    return [
        # Each tx has a client that it mostly goes with.
        (int(type_), clients[(tx + stray) % len(clients)], txs[tx], amount)
        for type_, tx, stray, amount in draw(st.lists(row, min_size=rows_min, max_size=rows_max))
    ]


def cuts() -> SearchStrategy[list[int]]:
    """Draw places to cut something at; :func:`cut` brings them into range."""
    return st.lists(st.integers(0, 2**16), max_size=12)


def cut(whole: Whole, places: Sequence[int]) -> Iterator[Whole]:
    """Cut bytes or rows into pieces; a place named twice gives an empty piece."""
    edges: list[int] = sorted(place % (len(whole) + 1) for place in places)
    for start, end in zip([0, *edges], [*edges, len(whole)], strict=True):
        yield whole[start:end]
