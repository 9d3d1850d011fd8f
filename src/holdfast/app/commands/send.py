"""``holdfast send``: its options, and how far it is while it works."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

from holdfast.app.options import add_log, number_of_seconds, start_log, whole_number
from holdfast.app.runner import EXIT_DONE, Interrupted, JobError
from holdfast.io.raw import STDIN_NAME

if TYPE_CHECKING:
    import argparse

    from _typeshed import SupportsWrite

    from holdfast.app.options import Refuse
    from holdfast.app.progress import Progress
    from holdfast.app.runner import Runner
    from holdfast.client.blocking import Channel
    from holdfast.client.connection import Limits, Settings
    from holdfast.client.report import RefusedRow, SendReport
    from holdfast.io.rejects import RejectWriter

EXIT_REFUSED = 3
TOKEN_VARIABLE = "HOLDFAST_TOKEN"  # noqa: S105  # the variable's name
_RETRY_SECONDS_DEFAULT = 300.0
_BUFFER_BYTES_DEFAULT = 16 * 1024 * 1024


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``holdfast send``."""
    add = parser.add_argument
    add(
        "files",
        nargs="*",
        metavar="FILE",
        help="CSV with a header; plain, .gz, .zst, .bz2 or .xz; several are one stream, their rows numbered on; "
        "- is standard input, as is a pipe where no file is named",
    )
    add("--to", required=True, metavar="HOST:PORT", help="the server; an IPv6 number in brackets, [::1]:7070")
    add(
        "--stream",
        metavar="NAME",
        help="the name under which the server remembers how far this input got: lost connections are resumed, and so "
        "is the same command given again",
    )
    add(
        "--deadline",
        type=number_of_seconds,
        metavar="SECONDS",
        help="give up when all is not done by then (as long as there is progress)",
    )
    add(
        "--retry",
        type=number_of_seconds,
        default=_RETRY_SECONDS_DEFAULT,
        metavar="SECONDS",
        help="give up when no row was acknowledged for so long while connections fail; 0: at the first failure "
        "(%(default)g)",
    )
    add(
        "--buffer-bytes-max",
        type=_bytes,
        default=_BUFFER_BYTES_DEFAULT,
        metavar="N",
        help="rows of a pipe that are kept until they are acknowledged (%(default)s)",
    )
    _add_security(parser)
    refused = parser.add_argument_group("rows that are not applied")
    refused.add_argument(
        "--rejects", metavar="FILE", help="list them here: input, line, byte offset, code, reason, row"
    )
    refused.add_argument(
        "--fail-on-reject", action="store_true", help="exit with 3 if any row was not applied"
    )
    said = add_log(parser)
    said.add_argument("--summary", action="store_true", help="end with a summary, as -v does")
    said.add_argument("--json-summary", metavar="FILE", help="write the summary here as JSON")


def _add_security(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("security")
    group.add_argument(
        "--token-file",
        metavar="FILE",
        help=f"the token is the first line of this file; without it, the environment variable {TOKEN_VARIABLE} is used",
    )
    group.add_argument(
        "--tls", action="store_true", help="use TLS and verify the server's certificate and name"
    )
    group.add_argument(
        "--tls-ca", metavar="FILE", help="trust these certificates (PEM), not the system's; implies --tls"
    )
    group.add_argument("--tls-cert", metavar="FILE", help="this side's own certificate (PEM); implies --tls")
    group.add_argument("--tls-key", metavar="FILE", help="its key (PEM), if not in the same file")


def send(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:
    """Send files, or standard input, to a server, and wait until it has decided all rows."""
    from holdfast.app.paths import check_outputs  # noqa: PLC0415  # --help does without

    _check_names(options, refuse)
    start_log(runner, options)
    sending = _Sending(runner, options, refuse)
    check_outputs(runner, (options.rejects, options.json_summary))
    outcome = _send(runner, options.rejects, sending)
    report = sending.report() if isinstance(outcome, Exception) else outcome
    if report is not None:
        _write_summary(runner, options, report)
    if isinstance(outcome, Interrupted):
        sending.say_stopped()
        raise outcome
    if isinstance(outcome, Exception):
        raise JobError(sending.explain(outcome)) from outcome
    _say_remarks(runner, options, outcome)
    return EXIT_REFUSED if options.fail_on_reject and outcome.rows > outcome.applied else EXIT_DONE


def _send(runner: Runner, rejects: str | None, sending: _Sending) -> SendReport | Exception:
    """Send and list the rows that are not applied. Rejects that cannot be written do not keep rows from being sent."""
    if rejects is None:
        return sending.run(None)
    try:
        # What was refused before an error is written all the same: the server has decided it.
        with runner.output(rejects) as file:
            return sending.run(file)
    except Interrupted as stop:
        return stop


class _Sending:
    """One run of the command.

    Args:
        runner: Whose signals stop it.
        options: The command line.
        refuse: Ends the command if the line cannot be meant.
    """

    def __init__(self, runner: Runner, options: argparse.Namespace, refuse: Refuse) -> None:
        self._runner = runner
        self._options = options
        self._settings = _settings(options, refuse)
        self._channel: Channel | None = None
        self._last: SendReport | None = None
        self._progress = self._make_progress()
        self._rejects: RejectWriter | None = None

    def run(self, rejects: SupportsWrite[bytes] | None) -> SendReport | Exception:
        """Send; give the report, or what ended it."""
        from holdfast.client.errors import SendError  # noqa: PLC0415  # --help does without
        from holdfast.io.rejects import RejectWriter  # noqa: PLC0415  # the same

        wants_refused = rejects is not None or self._progress is not None or self._options.verbose
        self._rejects = None if rejects is None else RejectWriter(rejects)
        settings = self._settings._replace(
            on_refused=self._take_refused if wants_refused else None, on_lost=self._say_lost
        )
        try:
            return self._send(settings)
        except (SendError, Interrupted) as error:
            return error
        finally:
            if self._progress is not None:
                self._progress.clear()

    def report(self) -> SendReport | None:
        """Say how far it got, if it got anywhere."""
        return self._last

    def explain(self, error: Exception) -> str:
        """Put what ended it into one line: what, where, how far, and what to do."""
        address, stream = self._settings.address, self._settings.directive.stream
        return f"{address}: {error}{_how_far(self._last, stream)}"

    def say_stopped(self) -> None:
        """Say how far it got when a signal stopped it."""
        if not self._options.quiet:
            far = _how_far(self._last, self._settings.directive.stream)
            self._runner.stderr.write(f"holdfast: stopped{far}\n")

    def _send(self, settings: Settings) -> SendReport:
        from holdfast.client.blocking import Channel, send_once  # noqa: PLC0415  # --help does without
        from holdfast.client.feeds import FilesFeed  # noqa: PLC0415  # the same
        from holdfast.io.compression import open_input  # noqa: PLC0415  # the same

        names = self._options.files
        if all(name != "-" and stat.S_ISREG(os.stat(name).st_mode) for name in names):
            with Channel(settings, FilesFeed(names), self._runner.interruptible, self._step) as channel:
                self._channel = channel
                try:
                    return channel.finish()
                finally:
                    self._last = channel.session.report()
        with self._runner.interruptible():
            stream = open_input(names[0])
        try:
            with stream:
                return send_once(stream, settings, self._runner.interruptible, self._step)
        finally:
            if self._channel is not None:
                self._last = self._channel.session.report()

    def _step(self, channel: Channel) -> None:
        self._channel = channel
        self._runner.check()
        if self._progress is not None:
            session = channel.session
            self._progress.update(session.acked, session.refused_count, channel.feed.raw_position)

    def _take_refused(self, refused: RefusedRow) -> None:
        if self._channel is None or (self._rejects is None and not self._options.verbose):
            return
        rejection = self._channel.feed.rejection(refused.row, refused.outcome)
        if self._rejects is not None:
            self._rejects.write(rejection)
        if self._options.verbose:
            import logging  # noqa: PLC0415  # configured by now

            logging.getLogger("holdfast.client").info("%s", rejection)

    def _say_lost(self, reason: str, seconds: float) -> None:
        if self._progress is not None:
            self._progress.clear()
        import logging  # noqa: PLC0415  # configured by now

        logging.getLogger("holdfast.client").warning(
            "%s: %s; trying again in %.1f seconds", self._settings.address, reason, seconds
        )

    def _make_progress(self) -> Progress | None:
        options = self._options
        if options.quiet or options.verbose or sys.stderr is None or not sys.stderr.isatty():
            return None
        from holdfast.app.progress import Progress  # noqa: PLC0415  # only a terminal needs it

        sizes = [os.path.getsize(name) if os.path.isfile(name) else None for name in options.files]
        return Progress(None if None in sizes else sum(size or 0 for size in sizes), sys.stderr)


def _check_names(options: argparse.Namespace, refuse: Refuse) -> None:
    from holdfast.app.paths import check_paths  # noqa: PLC0415  # --help does without

    check_paths(options, refuse)
    pipes = [name for name in options.files if name == "-" or not stat.S_ISREG(os.stat(name).st_mode)]
    if pipes and len(options.files) > 1:
        name = STDIN_NAME if pipes[0] == "-" else pipes[0]
        refuse(f"{name} cannot be read twice: a pipe is sent alone, not together with other files")
    directories = [name for name in options.files if os.path.isdir(name)]
    if directories:
        refuse(f"{directories[0]} is a directory")


def _settings(options: argparse.Namespace, refuse: Refuse) -> Settings:
    from holdfast.client.connection import make_settings, make_tls_context  # noqa: PLC0415  # --help does without

    if options.tls_key and not options.tls_cert:
        refuse("--tls-key belongs to --tls-cert")
    uses_tls = options.tls or options.tls_ca or options.tls_cert
    context = (
        make_tls_context(ca_file=options.tls_ca, cert_file=options.tls_cert, key_file=options.tls_key)
        if uses_tls
        else False
    )
    try:
        return make_settings(
            options.to,
            stream=options.stream,
            token=_token(options),
            tls=context,
            on_refused=None,
            limits=_limits(options),
        )
    except ValueError as error:
        refuse(str(error))


def _limits(options: argparse.Namespace) -> Limits:
    from holdfast.client.connection import Limits  # noqa: PLC0415  # --help does without

    return Limits(
        retry_seconds_max=options.retry,
        deadline_seconds=options.deadline,
        buffer_bytes_max=options.buffer_bytes_max,
    )


def _token(options: argparse.Namespace) -> str | None:
    from holdfast.client.connection import check_token, read_token  # noqa: PLC0415  # --help does without

    if options.token_file is not None:
        return read_token(options.token_file)
    token = os.environ.get(TOKEN_VARIABLE)
    return None if token is None else check_token(token, f"the environment variable {TOKEN_VARIABLE}")


def _how_far(report: SendReport | None, stream: str | None) -> str:
    if report is None:
        return "; nothing was sent"
    text = f"; {report.rows:,} rows are decided"
    if stream is None:
        return text
    return f"{text}; give the same command again to go on from row {report.skipped + report.rows + 1:,} of {stream}"


def _write_summary(runner: Runner, options: argparse.Namespace, report: SendReport) -> None:
    from holdfast.app.summary import say_summary, write_summary  # noqa: PLC0415  # --help does without

    write_summary(runner, options, report)
    more = [
        f"skipped    {report.skipped:,}",
        f"sequence   {report.sequence:,}",
        f"reconnects {report.reconnects:,}",
        f"seconds    {report.seconds:.3f} ({report.rows_per_second:,.0f} rows/s)",
    ]
    if report.untold:
        more.insert(
            0, f"untold     {report.untold:,} (decided, but what became of them was lost with a connection)"
        )
    say_summary(runner, options, report, more)


def _say_remarks(runner: Runner, options: argparse.Namespace, report: SendReport) -> None:
    from holdfast.app.remarks import say_remarks  # noqa: PLC0415  # --help does without

    # Rows that were skipped are rows of the input as well.
    empty_inputs = options.files if report.rows + report.skipped == 0 else []
    say_remarks(options, report, empty_inputs, runner.stderr.write)


def _bytes(text: str) -> int:
    number = whole_number(text)
    if number == 0:
        import argparse  # noqa: PLC0415  # whoever parses has imported it

        raise argparse.ArgumentTypeError("a buffer of no bytes holds no row")
    return number
