"""What a command says at its end without being asked: rows that were not applied, inputs in which there was nothing."""

from __future__ import annotations

from holdfast.app.escaping import one_line

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from holdfast.app.summary import Counts
    from holdfast.io.compression import InputStream

_NAMES_SHOWN = 3
_REASONS_SHOWN = 4


class EmptyInputs:
    """Notes the inputs that had no rows."""

    __slots__ = ("names",)

    def __init__(self) -> None:
        self.names: list[str] = []

    def watch(self, streams: Iterator[InputStream], count_rows: Callable[[], int]) -> Iterator[InputStream]:
        """Hand inputs on, one after the other.

        Args:
            streams: The inputs; the next one is asked for when the one before it was read.
            count_rows: Says how many rows there were so far.
        """
        for stream in streams:
            before = count_rows()
            yield stream
            if count_rows() == before:
                self.names.append(stream.name)


def say_remarks(
    options: argparse.Namespace, counts: Counts, empty_inputs: Sequence[str], write: Callable[[str], object]
) -> None:
    """Say in one line each which rows were not applied and which inputs were empty, unless ``-q`` asks for silence.

    Args:
        options: The command line.
        counts: What became of the rows.
        empty_inputs: Inputs that had no rows.
        write: Writes to standard error.
    """
    if options.quiet:
        return
    if empty_inputs:
        _say(options, describe_empty(empty_inputs), counts, write)
    if counts.refused:
        _say(options, describe_unapplied(counts, is_listed=options.rejects is not None), counts, write)


def describe_unapplied(counts: Counts, *, is_listed: bool) -> str:
    """Say how many rows were not applied and why, the most frequent reasons first."""
    by_count = sorted(counts.refused_by_outcome.items(), key=lambda item: -item[1])
    reasons = [f"{outcome.name} {count:,}" for outcome, count in by_count[:_REASONS_SHOWN]]
    if rest := sum(count for _, count in by_count[_REASONS_SHOWN:]):
        reasons.append(f"others {rest:,}")
    verb = "was" if counts.refused == 1 else "were"
    hint = "" if is_listed else "; --rejects FILE lists them"
    return f"{counts.refused:,} of {counts.rows:,} rows {verb} not applied ({', '.join(reasons)}){hint}"


def describe_empty(names: Sequence[str]) -> str:
    """Say which inputs had no rows."""
    shown = ", ".join(one_line(name) for name in names[:_NAMES_SHOWN])
    more = f" and {len(names) - _NAMES_SHOWN:,} more" if len(names) > _NAMES_SHOWN else ""
    return f"{shown}{more}: 0 rows, a header at most"


def _say(options: argparse.Namespace, sentence: str, counts: Counts, write: Callable[[str], object]) -> None:
    if options.log_format == "json":
        import logging  # noqa: PLC0415  # configured by now

        fields = counts.to_json()
        wanted = {name: fields[name] for name in ("rows", "applied", "refused", "refused_by_code")}
        logging.getLogger("holdfast.command").warning("%s", sentence, extra=wanted)
        return
    write(f"holdfast: {sentence}\n")
