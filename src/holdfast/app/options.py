"""The options that several commands share, their defaults, and the engine that they describe.

Every command imports this, so argparse is imported elsewhere: see :mod:`holdfast.app.parsing`.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    from holdfast.app.logs import LogStream
    from holdfast.app.runner import Runner
    from holdfast.engine.engine import Engine

    Refuse = Callable[[str], NoReturn]
    """Ends the command with exit code 2 and a message: the command line is wrong."""

RULES_DEFAULTS: Mapping[str, object] = {
    "rules": "standard",
    "decimals": 4,
    "client_bits": 16,
    "tx_bits": 32,
    "row_bytes_max": 4096,
    "batch_rows": 8192,
}
LOG_DEFAULTS: Mapping[str, object] = {"verbose": 0, "quiet": False, "log_format": "text"}
DIALECT_DEFAULTS: Mapping[str, object] = dict.fromkeys(
    (
        "dialect",
        "delimiter",
        "columns",
        "decimal_comma",
        "thousands",
        "encoding",
        "skip_rows",
        "footer",
        "types",
    )
)
RUN_DEFAULTS: Mapping[str, object] = {
    **RULES_DEFAULTS,
    **DIALECT_DEFAULTS,
    **LOG_DEFAULTS,
    "input_format": None,
    "on_error": "skip",
    "rejects": None,
    "summary": False,
    "json_summary": None,
}
PROCESS_DEFAULTS: Mapping[str, object] = {
    **RUN_DEFAULTS,
    "output": None,
    "load": None,
    "save": None,
    "snapshot_on_signal": False,
    "write_on_abort": False,
    "fail_on_reject": False,
}
EXPLAIN_DEFAULTS: Mapping[str, object] = {
    **RULES_DEFAULTS,
    "input_format": None,
    **DIALECT_DEFAULTS,
    "client": None,
    "tx": None,
    "format": "table",
}

_SECONDS_DIGITS_MAX = 12
_ON_ERROR_HELP = (
    "what to do about rows that are not applied: skip (the default: count them, and log them with -v), silent (count them), "
    "abort (stop at the first), budget:ROWS or budget:PERCENT%% (stop when there are more); "
    "by severity (malformed, refused, partner, duplicate) or code: skip,malformed=abort,DUPLICATE_TX=silent"
)


def add_process(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``holdfast process``."""
    parser.set_defaults(**PROCESS_DEFAULTS)
    add_files(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write the accounts here, whole or not at all (standard output)",
    )
    parser.add_argument(
        "--load",
        metavar="STATE",
        help="begin with the state that --save has written: rules, widths, all accounts",
    )
    parser.add_argument(
        "--save", metavar="STATE", help="write the whole state here at the end, for --load of the next run"
    )
    parser.add_argument(
        "--snapshot-on-signal",
        action="store_true",
        help="when SIGINT, SIGTERM or SIGHUP stops the work, write accounts, rejects and summary as they are at that moment",
    )
    parser.add_argument(
        "--write-on-abort",
        action="store_true",
        help="write the file of -o also when --on-error stops the work: its accounts are partial then",
    )
    parser.add_argument(
        "--fail-on-reject", action="store_true", help="exit with 3 if any row was not applied"
    )
    _add_run(parser)


def add_check(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``holdfast check``."""
    parser.set_defaults(**RUN_DEFAULTS)
    add_files(parser)
    _add_run(parser)


def add_explain(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``holdfast explain``."""
    parser.set_defaults(**EXPLAIN_DEFAULTS)
    add_files(parser)
    add_format(parser, "--input-format")
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument("--client", type=whole_number, metavar="ID", help="the client to follow")
    subject.add_argument("--tx", type=whole_number, metavar="ID", help="the transaction to follow")
    parser.add_argument("--format", choices=("table", "csv"), help="how to write it (%(default)s)")
    add_rules(parser)
    add_dialect(parser)


def add_rules(parser: argparse.ArgumentParser, *, describes_new: bool = False) -> None:
    """Add the options that describe an engine; see :func:`make_engine`.

    Args:
        parser: The command's parser.
        describes_new: Whether they count for a ledger that is made; one that is there has its own, with which they must agree.
    """
    parser.set_defaults(**(dict.fromkeys(RULES_DEFAULTS) if describes_new else RULES_DEFAULTS))
    rules = parser.add_argument_group(
        "rules and widths of a new ledger" if describes_new else "rules and widths"
    )
    default = RULES_DEFAULTS
    rules.add_argument(
        "--rules",
        metavar="PROFILE",
        help=f"standard, cards, or the path of a .toml file ({default['rules']})",
    )
    rules.add_argument(
        "--decimals",
        type=whole_number,
        choices=range(10),
        metavar="0-9",
        help=f"decimals of an amount ({default['decimals']})",
    )
    for name, what in (("client", "client"), ("tx", "transaction")):
        rules.add_argument(
            f"--{name}-bits",
            type=whole_number,
            choices=(16, 32, 64),
            help=f"width of {what} ids ({default[f'{name}_bits']})",
        )
    rules.add_argument(
        "--row-bytes-max",
        type=whole_number,
        metavar="N",
        help=f"how long a row may be, without its line end ({default['row_bytes_max']})",
    )
    rules.add_argument(
        "--batch-rows",
        type=whole_number,
        metavar="N",
        help=f"rows decided at a time ({default['batch_rows']})",
    )


def add_log(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the options of logging; see :func:`start_log`. Gives their group, for further ones."""
    parser.set_defaults(**LOG_DEFAULTS)
    log = parser.add_argument_group("logging, on standard error")
    log.add_argument(
        "-v",
        "--verbose",
        action="count",
        help="log more, every row that is not applied among it; -vv: log everything",
    )
    log.add_argument("-q", "--quiet", action="store_true", help="write errors only")
    log.add_argument(
        "--log-format", choices=("text", "json"), help="how log lines and errors are written (%(default)s)"
    )
    return log


def make_engine(options: argparse.Namespace, refuse: Refuse, *, huge_pages: bool) -> Engine:
    """Make the engine that the options of :func:`add_rules` describe.

    Args:
        options: The command line.
        refuse: Ends the command if it describes none.
        huge_pages: Whether to take memory two megabytes at a time.

    Raises:
        OSError: If the rules file cannot be read.
    """
    from holdfast.domain.rules import RulesError, find_rules  # noqa: PLC0415  # --help does without
    from holdfast.engine.engine import Engine  # noqa: PLC0415  # the same

    state = getattr(options, "load", None)
    if state is not None:
        return _load_engine(options, refuse, state, huge_pages=huge_pages)
    given = {name: _or(getattr(options, name), default) for name, default in RULES_DEFAULTS.items()}
    if not given["rules"]:
        refuse("--rules: the name is empty; give standard, cards, or the path of a .toml file")
    try:
        rules = find_rules(given.pop("rules"))
        return Engine(rules, **given, huge_pages=huge_pages)
    except RulesError as error:
        refuse(f"--rules: {error}")
    except ValueError as error:
        refuse(_with_option(str(error)))


def _load_engine(options: argparse.Namespace, refuse: Refuse, state: str, *, huge_pages: bool) -> Engine:
    """Load the engine of ``--load``; what is said of rules and widths beside it has to agree with it."""
    from holdfast.app.runner import JobError  # noqa: PLC0415  # most commands begin with nothing
    from holdfast.domain.rules import find_rules  # noqa: PLC0415  # the same
    from holdfast.engine.engine import Engine  # noqa: PLC0415  # the same
    from holdfast.io.raw import InputError  # noqa: PLC0415  # the same

    try:
        engine = Engine.load(state, batch_rows=options.batch_rows, huge_pages=huge_pages)
    except InputError as error:
        raise JobError(str(error)) from error
    for name, default in RULES_DEFAULTS.items():
        given = getattr(options, name)
        found = engine.settings.rules if name == "rules" else getattr(engine.settings, name)
        if given != default and (find_rules(given) if name == "rules" else given) != found:
            refuse(
                f"--{name.replace('_', '-')} {given}: the state {state} was saved with another; leave it out"
            )
    return engine


def _or(value: Any, default: object) -> Any:
    return default if value is None else value


def _with_option(message: str) -> str:
    """Let a message about a setting, ``batch_rows is ...``, name its option."""
    name, blank, rest = message.partition(" ")
    return f"--{name.replace('_', '-')}{blank}{rest}" if name in RULES_DEFAULTS else message


def start_log(runner: Runner, options: argparse.Namespace, stream: LogStream | None = None) -> None:
    """Configure logging, and the form of the runner's error messages, as the options of :func:`add_log` say.

    Args:
        runner: Whose error messages are written the same way.
        options: The command line.
        stream: Where to log; standard error if not given.
    """
    from holdfast.app.logs import configure_logging, error_as_json  # noqa: PLC0415  # slow to import

    configure_logging(
        options.log_format,
        -1 if options.quiet else options.verbose,
        runner.stderr if stream is None else stream,
    )
    if options.log_format == "json":
        runner.format_error = error_as_json


def whole_number(text: str) -> int:
    """Read the value of an option that is a number: digits and nothing else."""
    if not (text.isascii() and text.isdigit()):
        import argparse  # noqa: PLC0415  # the parser has imported it

        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def number_of_seconds(text: str) -> float:
    """Read the value of an option that is a time: seconds, perhaps with a fraction."""
    digits = text.replace(".", "", 1)
    if not (digits.isascii() and digits.isdigit()) or len(text) > _SECONDS_DIGITS_MAX:
        import argparse  # noqa: PLC0415  # the parser has imported it

        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return float(text)


def add_files(parser: argparse.ArgumentParser) -> None:
    """Add the files that are applied."""
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="CSV with a header or NDJSON, plain or compressed (.gz, .zst, .bz2, .xz); - is standard input, which is also read "
        "if no FILE is given",
    )


def add_format(parser: argparse.ArgumentParser, option: str) -> None:
    """Add the option that says what format the files have."""
    parser.add_argument(
        option,
        dest="input_format",
        choices=("csv", "ndjson"),
        help="what the files are (their suffix tells, .csv, .ndjson or .jsonl, also before that of a compression, or their "
        "first bytes)",
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    """Add the options that ``process`` and ``check`` share."""
    add_format(parser, "--format")
    add_rules(parser)
    add_dialect(parser)
    add_refused(parser)
    log = add_log(parser)
    log.add_argument(
        "--summary",
        action="store_true",
        help="end with a summary: rows, accounts, seconds (-v does so as well)",
    )
    log.add_argument("--json-summary", metavar="FILE", help="write the summary here as JSON")


def add_dialect(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how the files are written; see :func:`holdfast.app.dialects.make_dialect`."""
    parser.set_defaults(**DIALECT_DEFAULTS)
    dialect = parser.add_argument_group("how the files are written")
    dialect.add_argument(
        "--dialect",
        metavar="FILE",
        help="take these from a TOML file, which holdfast sniff proposes; the options below go before it",
    )
    dialect.add_argument(
        "--delimiter", metavar="SIGN", help="what separates fields: ';', '|', tab, ... (a comma)"
    )
    dialect.add_argument(
        "--columns",
        action="append",
        metavar="NAMES",
        help='what the header calls the columns: client="Client ID",amount=Betrag',
    )
    dialect.add_argument(
        "--decimal-comma",
        action="store_const",
        const=True,
        help="amounts have a comma before their decimals, not a point",
    )
    dialect.add_argument(
        "--thousands",
        metavar="SIGN",
        help="amounts have this sign between thousands: ',', '.', space, ... (none)",
    )
    dialect.add_argument(
        "--encoding", metavar="NAME", help="the text encoding: utf-16, latin-1, windows-1252, ... (utf-8)"
    )
    dialect.add_argument(
        "--skip-rows", type=whole_number, metavar="N", help="how many lines come before the header (0)"
    )
    dialect.add_argument(
        "--footer",
        action="append",
        metavar="PATTERN",
        help="lines that are no rows: 'Total*' is every line that begins so; may be given several times",
    )
    dialect.add_argument(
        "--types",
        action="append",
        metavar="WORDS",
        help="further words for the types: deposit=CR,withdrawal=DR",
    )


def add_refused(parser: argparse.ArgumentParser) -> None:
    """Add the options about rows that are not applied."""
    refused = parser.add_argument_group("rows that are not applied")
    refused.add_argument("--on-error", metavar="POLICY", help=_ON_ERROR_HELP)
    refused.add_argument(
        "--rejects",
        metavar="FILE",
        help="list them in this file, as CSV: input, line, byte offset, code, reason, row",
    )
