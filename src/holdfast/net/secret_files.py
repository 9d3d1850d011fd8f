"""Files of certificates, keys and tokens: opened without waiting, whatever they turn out to be."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO


class SecretFileError(OSError):
    """A file of secrets that cannot be used; the message names it and says what to do."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(0, reason, path)

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"

    def __reduce__(self) -> tuple[type[SecretFileError], tuple[str, str]]:
        return type(self), (self.filename, self.strerror or "")


def open_secret_file(path: str) -> BinaryIO:
    """Open a regular file for reading.

    A FIFO, a device or a socket is refused without a wait: nobody may ever write to it, and a server that reads its
    files again must not stand still.

    Raises:
        OSError: If it cannot be opened, or is not a regular file; the error names it.
    """
    file = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115  # the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise SecretFileError(path, "this is not a regular file; name a file that can be read again")
    return file


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
