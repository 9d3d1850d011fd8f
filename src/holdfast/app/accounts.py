"""The accounts that a command ends with."""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    from holdfast.app.runner import Runner
    from holdfast.engine.accounts import Accounts


def write_accounts(runner: Runner, path: str, accounts: Accounts) -> None:
    """Write accounts as CSV; a failure is noted by the runner and stops nothing else.

    Args:
        runner: Whose signals end a blocked write.
        path: Where they go; ``-`` is standard output.
        accounts: The accounts.

    Raises:
        Interrupted: By a signal between two pieces.
    """
    with runner.output(path) as file:
        for chunk in accounts.chunks():
            runner.check()
            file.write(chunk)
            if file.has_failed:
                break
