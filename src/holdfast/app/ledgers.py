"""What the commands on durable ledgers share: opening one, its options, and its errors as messages of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.app.options import add_rules, whole_number
from holdfast.app.runner import JobError
from holdfast.domain.origin import ID_BYTES_MAX
from holdfast.domain.rules import RulesError
from holdfast.engine.streams import StreamChangedError
from holdfast.storage.checkpointing import CHECKPOINTS_KEPT_DEFAULT
from holdfast.storage.durability import parse_durability
from holdfast.storage.durable_engine import DISK_BYTES_MIN_DEFAULT
from holdfast.storage.failures import LedgerError
from holdfast.storage.ledger import Ledger
from holdfast.storage.ports import StoreError
from holdfast.storage.stores import has_password, open_store
from holdfast.storage.view import LedgerView

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from types import TracebackType

    from holdfast.app.options import Refuse
    from holdfast.app.runner import Runner

_SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE_DIGITS_MAX = 12


class LedgerErrors:
    """Turns what may be wrong with a ledger into an error of the command, as a context manager.

    Raises:
        JobError: Instead of the error.
    """

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, StoreError | LedgerError | StreamChangedError):
            raise JobError(str(error)) from error


def add_ledger_options(parser: argparse.ArgumentParser, *, without: str = "") -> None:
    """Add the options of commands that write to a ledger; see :func:`open_ledger`.

    Args:
        parser: The command's parser.
        without: What happens without ``--data``, for its help.
    """
    group = parser.add_argument_group("the ledger")
    group.add_argument(
        "--data",
        metavar="LEDGER",
        type=location_of_ledger,
        help=f"the ledger's file, or a postgresql:// URL; it is made if there is none{without}",
        default=None,
    )
    group.add_argument(
        "--durability",
        metavar="WHEN",
        default="always",
        help="when the disk is asked to keep what was decided: always (the default), interval:MILLISECONDS, or none",
    )
    group.add_argument(
        "--state-bytes-max",
        type=size_of_memory,
        metavar="N",
        default=None,
        help="how much memory the ledger may take, 512M for instance, rows on their way to the disk included; records that "
        "were not used lately are then on disk only (no limit)",
    )
    group.add_argument(
        "--checkpoints-keep",
        type=whole_number,
        metavar="N",
        default=CHECKPOINTS_KEPT_DEFAULT,
        help="how many checkpoints stay (%(default)s)",
    )
    group.add_argument(
        "--disk-bytes-min",
        type=size_of_memory,
        metavar="N",
        default=DISK_BYTES_MIN_DEFAULT,
        help="with less room on the ledger's disk no rows are decided until there is more; 0: the disk may become full (128M)",
    )
    group.add_argument(
        "--keep-raw",
        type=_size_or_none,
        metavar="N",
        default=1 << 20,
        help="how many bytes of the text of rows that cannot be decoded are kept with each entry of the journal; none keeps "
        "none, and no address of a sender either (1M)",
    )
    add_rules(parser, describes_new=True)


def open_ledger(
    options: argparse.Namespace,
    refuse: Refuse,
    on_progress: Callable[[int, int], None] | None = None,
    may_wait: Callable[[], bool] | None = None,
) -> Ledger:
    """Open the ledger that the options of :func:`add_ledger_options` describe; make it if there is none.

    Args:
        options: The command's options.
        refuse: Ends the command with a complaint about them.
        on_progress: Called while entries are replayed.
        may_wait: Asked again and again while another process writes to a ledger in PostgreSQL; False ends the waiting.

    Raises:
        JobError: If it cannot be opened.
        OSError: If the rules file cannot be read.
    """
    if not options.data:
        refuse("--data: say which ledger, a file: --data payments.db")
    if not options.checkpoints_keep:
        refuse("--checkpoints-keep: at least one checkpoint stays")
    try:
        parse_durability(options.durability)
    except ValueError as error:
        refuse(f"--durability: {error}")
    try:
        with LedgerErrors():
            return Ledger.open(
                options.data if may_wait is None else open_store(options.data, may_wait=may_wait),
                rules=options.rules,
                decimals=options.decimals,
                client_bits=options.client_bits,
                tx_bits=options.tx_bits,
                row_bytes_max=options.row_bytes_max,
                batch_rows=options.batch_rows,
                durability=options.durability,
                memory_bytes_max=options.state_bytes_max,
                raw_bytes_max=options.keep_raw,
                checkpoints_keep=options.checkpoints_keep,
                disk_bytes_min=options.disk_bytes_min,
                on_progress=on_progress,
            )
    except RulesError as error:
        refuse(f"--rules: {error}")
    except ValueError as error:
        refuse(str(error))


def view_ledger(location: str) -> LedgerView:
    """Open a ledger to read it, beside the process that writes to it.

    Raises:
        JobError: If it cannot be read.
    """
    with LedgerErrors():
        return LedgerView(open_store(location, read_only=True))


def make_step_progress(
    runner: Runner, options: argparse.Namespace, what: str
) -> tuple[Callable[[int, int], None], Callable[[], None]]:
    """Give what draws how far a long work is, and hears signals, and what removes the line at the end."""
    import sys  # noqa: PLC0415  # only here

    from holdfast.app.step_progress import StepProgress  # noqa: PLC0415  # only where something takes long

    progress = StepProgress(what, None if options.quiet else sys.stderr)

    def on_progress(done: int, total: int) -> None:
        runner.check()
        progress.update(done, total)

    return on_progress, progress.clear


def user_name() -> str:
    """Give the name of the user who runs this, for the journal; the number if there is no name."""
    import getpass  # noqa: PLC0415  # only where something is written to a ledger
    import os  # noqa: PLC0415  # the same

    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):
        name = f"user {os.getuid()}"
    return name.encode(errors="replace")[:ID_BYTES_MAX].decode(errors="ignore")


def _size_or_none(text: str) -> int:
    return 0 if text == "none" else size_of_memory(text)


def location_of_ledger(text: str) -> str:
    """Read the value of an option that says where a ledger is: anybody on the machine can read a command line."""
    if has_password(text):
        import argparse  # noqa: PLC0415  # the parser has imported it

        raise argparse.ArgumentTypeError(
            "a password on a command line is seen by everybody on the machine; leave it out of the URL and put it into "
            "~/.pgpass, into the file that PGPASSFILE names, into a service file, or into PGPASSWORD"
        )
    return text


def size_of_memory(text: str) -> int:
    """Read the value of an option that is a number of bytes: digits, perhaps with K, M, G or T for powers of 1,024."""
    digits, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "")
    if unit not in _SIZES or not (digits.isascii() and digits.isdigit()) or len(digits) > _SIZE_DIGITS_MAX:
        import argparse  # noqa: PLC0415  # the parser has imported it

        raise argparse.ArgumentTypeError(f"{text!r} is not a number of bytes, such as 512M")
    return whole_number(digits) * _SIZES[unit]
