"""``holdfast ledger``: looks at a durable ledger, verifies it, backs it up, changes it."""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    import argparse

    from holdfast.app.options import Refuse
    from holdfast.app.runner import Runner

ACTIONS = {
    "info": "what the ledger is, how far it has come, how large it is",
    "accounts": "all accounts, as holdfast process prints them",
    "history": "everything that touched a client (--client) or a transaction (--tx)",
    "explain": "why one decision (--decision, or --stream and --row) came out as it did, and what it met",
    "rejects": "all rows that were not applied, as CSV",
    "settings": "the settings in force; with --rules, --client-bits, --tx-bits or --row-bytes-max, change them from here on",
    "verify": "check every checksum, the chain, and a replay",
    "checkpoint": "make a checkpoint now",
    "compact": "give unused space back to the disk; with --keep, drop older entries that a verified checkpoint covers",
    "backup": "copy the ledger to --to, or ship its entries to --follow, while it is in use",
    "restore": "make the ledger --to of a ledger, or of shipped entries, as it was at --until",
    "redact": "erase the text of rows that could not be decoded, and the addresses of senders, before --before",
    "unlock": "end the lock of --client, with a --reason",
    "accept-outcomes": "let journaled outcomes stand to which the rules of a later version do not come, with a --reason",
    "follow": "keep tables for SQL up to date beside a ledger in PostgreSQL, until a signal comes, or --once",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``holdfast ledger``."""
    from holdfast.app.ledgers import location_of_ledger  # noqa: PLC0415  # slow to import

    parser.add_argument(
        "action",
        metavar="ACTION",
        choices=tuple(ACTIONS),
        help="; ".join(f"{name}: {what}" for name, what in ACTIONS.items()),
    )
    parser.add_argument(
        "ledger",
        metavar="LEDGER",
        type=location_of_ledger,
        help="the ledger's file, or a postgresql:// URL; for restore also a directory",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="write errors and results only")
    _add_looking(parser)
    _add_changing(parser)
    _add_copying(parser)


def _add_looking(parser: argparse.ArgumentParser) -> None:
    from holdfast.app.options import whole_number  # noqa: PLC0415  # every command has it, but for --help

    looking = parser.add_argument_group("looking")
    looking.add_argument("--client", type=whole_number, metavar="ID", help="the client")
    looking.add_argument("--tx", type=whole_number, metavar="ID", help="the transaction")
    looking.add_argument("--stream", metavar="NAME", help="rows of this stream only")
    looking.add_argument("--decision", type=whole_number, metavar="N", help="the decision, counted from 1")
    looking.add_argument("--row", type=whole_number, metavar="N", help="the row of --stream, counted from 1")
    looking.add_argument(
        "--as-of", metavar="WHEN", help="after this many decisions, or at a time: 2026-11-25T18:00:00Z"
    )
    looking.add_argument(
        "--json", action="store_true", help="write info, explain and the result of verify as JSON"
    )


def _add_changing(parser: argparse.ArgumentParser) -> None:
    from holdfast.app.options import whole_number  # noqa: PLC0415  # every command has it, but for --help
    from holdfast.domain.settings import ID_BITS  # noqa: PLC0415  # the same

    changing = parser.add_argument_group("changing")
    changing.add_argument("--rules", metavar="PROFILE", help="standard, cards, or the path of a .toml file")
    changing.add_argument(
        "--client-bits",
        type=int,
        choices=ID_BITS,
        metavar="N",
        help="wider client ids from here on: 16, 32 or 64",
    )
    changing.add_argument(
        "--tx-bits",
        type=int,
        choices=ID_BITS,
        metavar="N",
        help="wider transaction ids from here on: 16, 32 or 64",
    )
    changing.add_argument(
        "--row-bytes-max", type=whole_number, metavar="N", help="how long a row may be without its line end"
    )
    changing.add_argument("--reason", metavar="TEXT", help="why; it is kept in the journal")
    changing.add_argument("--actor", metavar="NAME", help="who (the user who runs this)")
    changing.add_argument(
        "--before", metavar="WHEN", help="what is older goes: a number of decisions, or a time"
    )
    changing.add_argument(
        "--keep", metavar="WHEN", help="compact: what came after so many decisions, or since a time, stays"
    )
    changing.add_argument(
        "--archive", metavar="FILE", help="compact: write the entries that are dropped to a new ledger first"
    )


def _add_copying(parser: argparse.ArgumentParser) -> None:
    from holdfast.app.ledgers import location_of_ledger  # noqa: PLC0415  # slow to import

    copying = parser.add_argument_group("copying")
    copying.add_argument(
        "--to",
        metavar="LEDGER",
        type=location_of_ledger,
        help="the copy, a file, or for restore a postgresql:// URL; what is there is never replaced",
    )
    copying.add_argument(
        "--follow",
        metavar="DIR",
        help="backup: write entries to files there as they come, until a signal; go on after those that are there",
    )
    copying.add_argument(
        "--once", action="store_true", help="follow, backup --follow: end when what is there now is written"
    )
    copying.add_argument("--until", metavar="WHEN", help="a number of decisions, or a time")


def ledger(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:
    """Do what the action says."""
    from importlib import import_module  # noqa: PLC0415  # --help does without

    from holdfast.app.ledgers import LedgerErrors  # noqa: PLC0415  # the same

    looks = options.action in {
        "info",
        "accounts",
        "history",
        "explain",
        "rejects",
        "verify",
        "backup",
        "restore",
    }
    changes = (options.rules, options.client_bits, options.tx_bits, options.row_bytes_max)
    looks = looks or (options.action == "settings" and all(each is None for each in changes))
    name = "ledger_reading" if looks else "ledger_changing"
    module = import_module(f"holdfast.app.{'ledger_following' if options.action == 'follow' else name}")
    job = getattr(module, options.action.replace("-", "_"))
    with LedgerErrors():
        code: int = job(runner, options, refuse)
        return code
