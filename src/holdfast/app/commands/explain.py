"""``holdfast explain``: shows the history of a client or a transaction."""

from __future__ import annotations

from holdfast.app.applying import find_dialect
from holdfast.app.history_table import write_csv, write_table
from holdfast.app.inputs import check_inputs, open_inputs
from holdfast.app.options import make_engine
from holdfast.app.paths import check_outputs, check_paths
from holdfast.app.runner import EXIT_DONE, STDOUT_PATH, JobError
from holdfast.engine.history import History
from holdfast.engine.pipeline import read_input, use_dialect
from holdfast.io.formats.detection import choose_decoder

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from holdfast.app.options import Refuse
    from holdfast.app.runner import Runner


def explain(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:
    """Show the history of a client or a transaction."""
    check_paths(options, refuse, stdout_use="the history")
    engine = make_engine(options, refuse, huge_pages=True)
    dialect = find_dialect(options, refuse)
    for name, wanted, largest in (
        ("client", options.client, engine.settings.client_max),
        ("tx", options.tx, engine.settings.tx_max),
    ):
        if wanted is not None and wanted > largest:
            refuse(f"--{name} {wanted}: ids run to {largest}; --{name}-bits makes them wider")
    check_outputs(runner, (STDOUT_PATH,))
    history = History(engine, client=options.client, tx=options.tx)

    def rows() -> Iterator[object]:
        check_inputs(options.files)
        for stream in open_inputs(runner, options.files):
            with stream:
                csv = engine.new_decoder(keep_source=True)
                if dialect is None:
                    decoder = choose_decoder(options.input_format, stream.name, csv, engine.settings)
                else:
                    decoder = use_dialect(stream, csv, dialect)
                yield from history.rows(stream, read_input(stream, decoder, runner.check))
            runner.check()

    write = write_csv if options.format == "csv" else write_table
    shown = write(runner.stdout, rows(), engine.settings.decimals)  # type: ignore[arg-type]  # History's rows, through the generator
    if not shown:
        subject = f"client {options.client}" if options.client is not None else f"tx {options.tx}"
        raise JobError(f"no row names {subject}")
    return EXIT_DONE
