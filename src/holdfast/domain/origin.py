"""Where rows come from: their stream, who sends them, their place in a broker's partition, the request that they answer.

Rows of no known origin carry their stream's name and nothing else. Whoever knows more hands an :class:`Origin` to the one way in,
in the place of the name; an engine with a journal keeps it there, and all others pass it by.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from holdfast.domain.named_tuples import NamedTuple

ID_BYTES_MAX = 255
"""How long the id of an actor, an address, a topic or a key may be, in UTF-8."""
FINGERPRINT_BYTES = 16
PARTITION_MAX = (1 << 31) - 1
OFFSET_MAX = (1 << 63) - 1


class Actor(NamedTuple):
    """Who sends rows."""

    id: str
    """A user's name, or that of a token: ``token:`` and the first digits of its hash."""
    address: str = ""
    """Where they were sent from; empty if that is not known, not kept, or erased."""


class SourcePosition(NamedTuple):
    """How far the rows of a broker's partition are decided."""

    topic: str
    partition: int
    next_offset: int
    """The offset of the message to go on with."""
    row: int = 0
    """How many rows of that message are decided."""


class RequestKey(NamedTuple):
    """What tells a request that comes again from a new one."""

    key: str
    fingerprint: bytes
    """A hash of what the request says, of 16 bytes: the same key with another one is another request."""


class SourceRows:
    """The rows of consecutive messages of a partition, as they go through an engine; it knows at which message each row is.

    Args:
        topic: The topic.
        partition: The partition's number.

    Raises:
        ValueError: If there can be no such partition.
    """

    __slots__ = ("_offsets", "_starts", "partition", "topic")

    def __init__(self, topic: str, partition: int) -> None:
        check_id("a topic", topic)
        if not 0 <= partition <= PARTITION_MAX:
            raise ValueError(f"a partition has a number from 0 to {PARTITION_MAX}, not {partition}")
        self.topic = topic
        self.partition = partition
        self._offsets: list[int] = []
        self._starts: list[int] = []

    def begin(self, offset: int, row: int) -> None:
        """Note that a message begins.

        Args:
            offset: Its offset, greater than that of the message before.
            row: How many rows the messages before it have, from the first one on.

        Raises:
            ValueError: If it does not follow the message before it.
        """
        if not (self._offsets[-1] if self._offsets else -1) < offset < OFFSET_MAX:
            raise ValueError(f"offset {offset} does not follow the one before it")
        if row < (self._starts[-1] if self._starts else 0):
            raise ValueError(f"the message at offset {offset} cannot begin at row {row}")
        self._offsets.append(offset)
        self._starts.append(row)

    def end(self, row: int) -> None:
        """Note that the last message has ended, with so many rows in all of them."""
        if self._offsets:
            self.begin(self._offsets[-1] + 1, row)

    def position_after(self, rows: int) -> SourcePosition:
        """Give the position when so many rows are decided.

        Raises:
            ValueError: If no message has begun by then.
        """
        from bisect import bisect_right  # noqa: PLC0415  # only for rows of brokers

        number = bisect_right(self._starts, rows) - 1
        if number < 0:
            raise ValueError("these rows belong to no message: begin() one first")
        return SourcePosition(self.topic, self.partition, self._offsets[number], rows - self._starts[number])


class Origin:
    """What is known of where rows come from.

    Args:
        stream: The name of their stream, if they belong to one.
        actor: Who sends them.
        source: The messages that they are.
        request: The request that they are; the rows of one request are decided together.

    Raises:
        ValueError: If rows of a stream are to be those of a partition as well, or an id is empty or too long.
    """

    __slots__ = ("actor", "request", "source", "stream")

    def __init__(
        self,
        stream: str | None = None,
        *,
        actor: Actor | None = None,
        source: SourceRows | None = None,
        request: RequestKey | None = None,
    ) -> None:
        if (stream is not None) + (source is not None) + (request is not None) > 1:
            raise ValueError(
                "rows belong to a stream, to a partition or to a request: each has its own position"
            )
        if actor is not None:
            check_id("an actor", actor.id)
            if actor.address:
                check_id("an address", actor.address)
        if request is not None:
            check_id("an idempotency key", request.key)
            if len(request.fingerprint) != FINGERPRINT_BYTES:
                raise ValueError(f"the fingerprint of a request has {FINGERPRINT_BYTES} bytes")
        self.stream = stream
        self.actor = actor
        self.source = source
        self.request = request


def check_id(what: str, text: str) -> None:
    """Refuse what a journal cannot keep as an id.

    Raises:
        ValueError: If it is empty, too long, or not to be written as UTF-8.
    """
    try:
        length = len(text.encode())
    except UnicodeEncodeError as error:
        raise ValueError(f"{what} cannot be {text!r}: that cannot be written as UTF-8") from error
    if not 1 <= length <= ID_BYTES_MAX:
        raise ValueError(f"{what} has 1 to {ID_BYTES_MAX} bytes in UTF-8, not {length}")
