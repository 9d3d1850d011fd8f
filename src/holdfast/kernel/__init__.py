"""The compiled kernel: columns in, outcomes out. It knows nothing of files, sockets or policies.

Modules: :mod:`batch` (the columns that cross every boundary), :mod:`csv_decoder` and :mod:`csv_encoder`
(bytes to columns, accounts to bytes), :mod:`index` (keys to ordinals), :mod:`ledger` (the fold itself),
:mod:`tally` (what a stream's rows came to).
"""

from holdfast.kernel.tally import BUILD

__all__ = ["BUILD"]
