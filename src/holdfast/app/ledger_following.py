"""``holdfast ledger follow``: keeps the tables for SQL up to date."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from holdfast.app.ledgers import make_step_progress
from holdfast.app.runner import EXIT_DONE
from holdfast.storage.stores import open_follower

if TYPE_CHECKING:
    import argparse

    from holdfast.app.options import Refuse
    from holdfast.app.runner import Runner

_PAUSE_SECONDS = 0.1
"""How often the journal is asked for more, once everything is there."""


def follow(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:  # noqa: ARG001  # all actions are called alike
    """Take entry after entry; with ``--once``, up to the last one that is there."""
    on_progress, clear = make_step_progress(runner, options, "following")
    has_said = options.quiet
    with open_follower(options.ledger) as follower:
        begin = None
        while True:
            runner.check()
            followed = follower.step()
            begin = followed.sequence if begin is None else begin
            if followed.sequence < followed.end:
                on_progress(followed.sequence - begin, followed.end - begin)
                continue
            clear()
            if not has_said:
                has_said = True
                runner.stderr.write(f"holdfast: the tables know all {followed.sequence:,} decisions\n")
                runner.stderr.flush()
            if options.once:
                return EXIT_DONE
            time.sleep(_PAUSE_SECONDS)
