"""The inputs of the commands on files: opened one after the other, with a progress line on a terminal."""

from __future__ import annotations

import os
import sys

from holdfast.io.compression import open_input

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from holdfast.app.runner import Runner
    from holdfast.io.compression import InputStream


def check_inputs(names: list[str]) -> None:
    """Find a name without a file before hours of work on the files before it.

    Raises:
        OSError: If there is one.
    """
    for name in names:
        if name != "-":
            os.stat(name)


def open_inputs(runner: Runner, names: list[str]) -> Iterator[InputStream]:
    """Open inputs, each when the one before it is done."""
    for name in names:
        # A FIFO that nobody writes to blocks right here.
        with runner.interruptible():
            stream = open_input(name)
        yield stream


def make_progress(options: argparse.Namespace) -> tuple[Callable[[int, int, int], None], Callable[[], None]]:
    """Give what draws the progress line and what removes it: nothing at all where nobody looks."""
    if options.quiet or options.verbose or sys.stderr is None or not sys.stderr.isatty():
        return (lambda _rows, _refused, _bytes: None), (lambda: None)
    from holdfast.app.progress import Progress  # noqa: PLC0415  # only a terminal needs it

    sizes = [os.path.getsize(name) if os.path.isfile(name) else None for name in options.files]
    progress = Progress(None if None in sizes else sum(size or 0 for size in sizes), sys.stderr)
    return progress.update, progress.clear
