"""``holdfast send``: its options, and how far it is while it works."""

from __future__ import annotations

import os
import signal
import stat
import sys
from typing import TYPE_CHECKING

from holdfast.app.options import add_log, number_of_seconds, start_log, whole_number
from holdfast.app.runner import EXIT_DONE, EXIT_ERROR, EXIT_REFUSED, Interrupted, JobError
from holdfast.io.raw import STDIN_NAME

if TYPE_CHECKING:
    import argparse

    from _typeshed import SupportsWrite

    from holdfast.app.options import Refuse
    from holdfast.app.progress import Progress
    from holdfast.app.runner import Runner
    from holdfast.client.blocking_sender import BlockingSender
    from holdfast.client.options import Limits, Options
    from holdfast.client.report import SendReport
    from holdfast.client.sender import Hooks
    from holdfast.io.rejects import Rejection, RejectWriter

TOKEN_VARIABLE = "HOLDFAST_TOKEN"  # noqa: S105  # the variable's name
_RETRY_SECONDS_DEFAULT = 300.0
_BUFFER_BYTES_DEFAULT = 16 * 1024 * 1024
# How often the progress line is drawn while nothing else happens.
_PROGRESS_SECONDS = 0.1
# The sender keeps the deadline itself, and knows best how far it got. The alarm is for an output that is not read.
_ALARM_SECONDS_AFTER_DEADLINE = 1.0


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
        help="the name under which the server remembers how far this input got, one name per input: lost connections "
        "are resumed, and so is the same command given again",
    )
    add(
        "--deadline",
        type=number_of_seconds,
        metavar="SECONDS",
        help="give up when not everything is done by then, whatever the progress (no deadline)",
    )
    add(
        "--retry",
        type=number_of_seconds,
        default=_RETRY_SECONDS_DEFAULT,
        metavar="SECONDS",
        help="give up after so many seconds of failing connections without another row acknowledged; 0: at the first "
        "failure (%(default)g)",
    )
    add(
        "--buffer-bytes-max",
        type=_bytes,
        default=_BUFFER_BYTES_DEFAULT,
        metavar="N",
        help="how much of a pipe is kept until it is acknowledged (%(default)s)",
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
    if options.deadline is not None:
        runner.stop_after(options.deadline + _ALARM_SECONDS_AFTER_DEADLINE)
    sending = _Sending(runner, options, refuse)
    check_outputs(runner, (options.rejects, options.json_summary))
    outcome = _send(runner, options.rejects, sending)
    if options.deadline is not None:
        runner.stop_after(0)
    if isinstance(outcome, Interrupted) and outcome.signal_number == signal.SIGALRM:
        outcome = _missed_deadline(options.deadline)
    report = sending.report if isinstance(outcome, Exception) else outcome
    if report is not None:
        _write_summary(runner, options, report)
    if isinstance(outcome, Interrupted):
        sending.say_stopped()
        raise outcome
    if isinstance(outcome, OSError):
        sending.say_stopped()
        raise outcome
    if isinstance(outcome, Exception):
        raise JobError(sending.explain(outcome)) from outcome
    sending.say_skipped(outcome)
    _say_remarks(runner, options, outcome, sending.empty_inputs())
    if options.fail_on_reject and outcome.rows > outcome.applied:
        return EXIT_REFUSED
    # Rows whose outcome is lost may be missing in the list that was asked for.
    return EXIT_ERROR if options.rejects is not None and outcome.untold else EXIT_DONE


def _missed_deadline(seconds: float) -> Exception:
    from holdfast.client.errors import DeadlineError  # noqa: PLC0415  # --help does without

    return DeadlineError(f"not done after {seconds:g} seconds; an output was not read")


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
        self._target = _make_options(options, refuse)
        self._sender: BlockingSender | None = None
        self._progress = self._make_progress()
        self._rejects: RejectWriter | None = None
        self.report: SendReport | None = None
        """How far it got; None if it did not begin."""

    def run(self, rejects: SupportsWrite[bytes] | None) -> SendReport | Exception:
        """Send; give the report, or what ended it."""
        from holdfast.client.blocking_sender import BlockingSender  # noqa: PLC0415  # --help does without
        from holdfast.client.errors import SendError  # noqa: PLC0415  # the same
        from holdfast.io.rejects import RejectWriter  # noqa: PLC0415  # the same

        self._rejects = None if rejects is None else RejectWriter(rejects)
        seconds = None if self._progress is None else _PROGRESS_SECONDS
        waiting = self._runner.interruptible
        with BlockingSender(self._target, self._hooks(), waiting, self._on_wait, seconds) as sender:
            self._sender = sender
            try:
                return self._send(sender)
            except SendError as error:
                self._list_the_rest(sender)
                return error
            except OSError as error:
                report = sender.report()
                if report is None or report.sent_bytes == 0:
                    # Nothing has happened: the list of refused rows stays what it was.
                    raise
                return error
            except Interrupted as stop:
                self._list_the_rest(sender)
                return stop
            finally:
                self.report = sender.report()
                if self._progress is not None:
                    self._progress.clear()

    def explain(self, error: Exception) -> str:
        """Put what ended it into one line: what, where, how far, and what to do."""
        address, stream = self._target.address, self._target.directive.stream
        return (
            f"{address}: {self._name_input(error)}{error}{_hint(error)}{_how_far(self.report, stream, error)}"
        )

    def empty_inputs(self) -> list[str]:
        """Name the files that had a header and no rows."""
        report, names = self.report, self._options.files
        if report is None or self._sender is None:
            return []
        if len(names) == 1:
            # Rows that were skipped are rows of the input as well.
            return names if report.rows + report.skipped == 0 else []
        return [names[index] for index in self._sender.empty_parts()]

    def _name_input(self, error: Exception) -> str:
        """Name the file that an error of the server is about, where there are several."""
        if (
            self._sender is None
            or len(self._options.files) == 1
            or getattr(error, "code", None) != "BAD_HEADER"
        ):
            return ""
        return f"{self._options.files[self._sender.part()]}: "

    def say_stopped(self) -> None:
        """Say how far it got when a signal or its input stopped it."""
        if not self._options.quiet:
            far = _how_far(self.report, self._target.directive.stream)
            self._runner.stderr.write(f"holdfast: stopped{far}\n")

    def say_skipped(self, report: SendReport) -> None:
        """Say that rows were left out: somebody may have meant another stream."""
        if not self._options.quiet and report.skipped:
            self._runner.stderr.write(
                f"holdfast: {report.skipped:,} rows were skipped: the server had them as the first rows of "
                f"{report.stream}\n"
            )

    def _send(self, sender: BlockingSender) -> SendReport:
        names = self._options.files
        if all(_is_regular(name) for name in names):
            return sender.send_files(names)
        return sender.send_pipe(None if names[0] == "-" else names[0])

    def _list_the_rest(self, sender: BlockingSender) -> None:
        """List the rows whose refusal had come when something ended it: the server has decided them."""
        try:  # noqa: SIM105  # shorter than the import
            sender.run_callbacks()
        except Interrupted:
            # The reader of the list may be the very reason for the signal.
            pass

    def _hooks(self) -> Hooks:
        from holdfast.client.sender import Hooks  # noqa: PLC0415  # --help does without

        wants_rows = self._rejects is not None or self._options.verbose
        # The progress line counts refused rows: without a list of them, their numbers will do.
        counts_rows = self._progress is not None and not wants_rows
        return Hooks(
            on_refused=(lambda _: None) if counts_rows else None,
            on_rejection=self._take_rejection if wants_rows else None,
            on_lost=self._say_lost,
        )

    def _on_wait(self) -> None:
        self._runner.check()
        sender = self._sender
        if self._progress is not None and sender is not None and sender.state is not None:
            self._progress.update(sender.state.acked, sender.state.refused_count, sender.raw_position())

    def _take_rejection(self, rejection: Rejection) -> None:
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
            "%s: %s; trying again in %.1f seconds", self._target.address, reason, seconds
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
    pipes = [name for name in options.files if not _is_regular(name)]
    if pipes and len(options.files) > 1:
        name = STDIN_NAME if pipes[0] == "-" else pipes[0]
        refuse(f"{name} cannot be read twice: a pipe is sent alone, not together with other files")
    directories = [name for name in options.files if os.path.isdir(name)]
    if directories:
        refuse(f"{directories[0]} is a directory")


def _is_regular(name: str) -> bool:
    return name != "-" and stat.S_ISREG(os.stat(name).st_mode)


def _make_options(options: argparse.Namespace, refuse: Refuse) -> Options:
    from holdfast.client.options import make_options  # noqa: PLC0415  # --help does without
    from holdfast.net.tls import make_tls_context  # noqa: PLC0415  # the same

    if options.tls_key and not options.tls_cert:
        refuse("--tls-key belongs to --tls-cert")
    uses_tls = options.tls or options.tls_ca or options.tls_cert
    context = (
        make_tls_context(ca_file=options.tls_ca, cert_file=options.tls_cert, key_file=options.tls_key)
        if uses_tls
        else False
    )
    try:
        return make_options(
            options.to, stream=options.stream, token=_token(options), tls=context, limits=_limits(options)
        )
    except ValueError as error:
        refuse(str(error))


def _limits(options: argparse.Namespace) -> Limits:
    from holdfast.client.options import Limits  # noqa: PLC0415  # --help does without

    return Limits(
        retry_seconds_max=options.retry,
        deadline_seconds=options.deadline,
        buffer_bytes_max=options.buffer_bytes_max,
    )


def _token(options: argparse.Namespace) -> str | None:
    from holdfast.client.options import check_token, read_token  # noqa: PLC0415  # --help does without

    if options.token_file is not None:
        return read_token(options.token_file)
    token = os.environ.get(TOKEN_VARIABLE)
    return None if token is None else check_token(token, f"the environment variable {TOKEN_VARIABLE}")


def _hint(error: Exception) -> str:
    """Name the option that mends it."""
    from holdfast.client.errors import ConnectionFault, ConnectionLostError, ServerError  # noqa: PLC0415  # --help does without

    hints = {
        ConnectionFault.HOST_NOT_FOUND: "; check the host in --to",
        ConnectionFault.TLS_REQUIRED: "; give --tls, or --tls-ca FILE for a certificate that the system does not trust",
        ConnectionFault.TLS_NOT_SPOKEN: "; if the server does not use TLS, leave out --tls, --tls-ca and --tls-cert",
        ConnectionFault.SERVER_CERTIFICATE: "; --tls-ca FILE names the certificates to trust, and --to has to name "
        "the host as its certificate does",
        ConnectionFault.CLIENT_CERTIFICATE: "; give the certificate that the server accepts with --tls-cert FILE",
    }
    if isinstance(error, ConnectionLostError) and error.fault is not None:
        return hints[error.fault]
    if isinstance(error, ServerError) and error.code in {"UNAUTHORIZED", "FORBIDDEN_STREAM"}:
        return f"; give the token with --token-file FILE or {TOKEN_VARIABLE}"
    return ""


def _how_far(report: SendReport | None, stream: str | None, error: Exception | None = None) -> str:
    from holdfast.client.errors import ServerError, StreamMismatchError  # noqa: PLC0415  # --help does without

    if report is None:
        return "; nothing was sent"
    # The server's own last line is exact; without it, acks on their way were not waited for.
    is_exact = report.sent_bytes == 0 or isinstance(error, ServerError | StreamMismatchError)
    text = f"; {'' if is_exact else 'at least '}{report.rows:,} rows are decided"
    if (
        stream is None
        or isinstance(error, StreamMismatchError)
        or getattr(error, "code", None) == "BAD_HEADER"
    ):
        return text
    last_row = report.skipped + report.rows
    # A server that kept its rows in memory only may have forgotten them by then: no row is promised.
    return (
        f"{text}, up to row {last_row:,} of {stream}; give the same command again to send the rows that the server does "
        "not have then"
    )


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


def _say_remarks(
    runner: Runner, options: argparse.Namespace, report: SendReport, empty_inputs: list[str]
) -> None:
    from holdfast.app.remarks import say_remarks  # noqa: PLC0415  # --help does without

    say_remarks(options, report, empty_inputs, runner.stderr.write)
    if not report.untold or (options.quiet and options.rejects is None):
        return
    what = (
        ""
        if options.rejects is None
        else f"; those of them that were not applied are missing in {options.rejects}"
    )
    runner.stderr.write(
        f"holdfast: {report.untold:,} rows are decided, but what became of them was lost with a connection{what}\n"
    )


def _bytes(text: str) -> int:
    number = whole_number(text)
    if number == 0:
        import argparse  # noqa: PLC0415  # whoever parses has imported it

        raise argparse.ArgumentTypeError("a buffer of no bytes holds no row")
    return number
