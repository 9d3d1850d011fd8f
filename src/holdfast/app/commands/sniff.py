"""``holdfast sniff``: looks at a file and proposes its dialect."""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    import argparse

    from holdfast.app.options import Refuse
    from holdfast.app.runner import Runner


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``holdfast sniff``."""
    parser.add_argument(
        "file", metavar="FILE", help="what a partner sent, plain or compressed; - is standard input"
    )


def sniff_file(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:
    """Print the dialect that a file seems to be written in."""
    from holdfast.app.inputs import open_inputs  # noqa: PLC0415  # --help does without
    from holdfast.app.runner import EXIT_DONE, EXIT_REFUSED  # noqa: PLC0415  # the same
    from holdfast.io.sniffing import sniff  # noqa: PLC0415  # the same

    if not options.file:
        refuse("FILE: the name is empty; perhaps a variable of the shell has no value")
    (stream,) = open_inputs(runner, [options.file])
    with stream:
        proposal = sniff(stream)
    runner.stdout.write(proposal.text.encode(errors="backslashreplace"))
    return EXIT_DONE if proposal.is_sure else EXIT_REFUSED
