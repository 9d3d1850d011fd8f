"""File to accounts through the bare kernel in one thread: what the command does without its other threads.

Light enough on imports to be profiled: ``python -m benchmarks.single_thread FILE > accounts.csv``.
"""

from __future__ import annotations

import sys

from benchmarks.stages import apply_all, decode, make_ledger, read_chunks
from holdfast.kernel.csv.encoder import encode_accounts


def main() -> None:
    """Process the file named on the command line."""
    ledger = make_ledger()
    apply_all(ledger, decode(read_chunks(sys.argv[1])))
    sys.stdout.buffer.writelines(encode_accounts(ledger.image(), 4))


if __name__ == "__main__":
    main()
