"""The status of a server on one line of a terminal, drawn over and over."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from holdfast.app.progress import Progress

if TYPE_CHECKING:
    from holdfast.app.background_stream import BackgroundStream
    from holdfast.server.status import Status


class StatusLine(Progress):
    """The status on one line of a terminal; log lines appear above it.

    Args:
        stream: Standard error.
    """

    def __init__(self, stream: BackgroundStream) -> None:
        super().__init__(None, stream)
        self._background = stream

    def show(self, status: Status | None) -> None:
        """Draw it, unless a former one is not drawn yet; None removes it."""
        if status is None:
            self.clear()
        elif not self._background.is_behind:
            self._draw(str(status))

    def stay_below_log(self) -> None:
        """Make room for each log line before it is written."""
        for handler in logging.getLogger("holdfast").handlers:
            handler.addFilter(self._make_room)

    def _make_room(self, _record: logging.LogRecord) -> bool:
        self.clear()
        return True
