"""Files of certificates, keys and tokens: nothing that is not a regular file is waited for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from holdfast.net.secret_files import SecretFileError, open_secret_file
from holdfast.net.tls import make_server_tls_context

if TYPE_CHECKING:
    from pathlib import Path


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    """Content is content."""
    path = tmp_path / "key"
    path.write_bytes(b"secret")
    with open_secret_file(str(path)) as file:
        assert file.read() == b"secret"


@pytest.mark.parametrize("kind", ["cert", "key"])
def test_a_fifo_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    """Nobody ever writes to it: a certificate or a key that is a FIFO is an error that names it."""
    fifo, plain = tmp_path / "fifo", tmp_path / "plain"
    os.mkfifo(fifo)
    plain.write_text("")
    paths = {name: str(fifo if name == kind else plain) for name in ("cert", "key")}
    with pytest.raises(OSError, match=r".") as raised:
        make_server_tls_context(paths["cert"], paths["key"], None)
    assert isinstance(raised.value, SecretFileError)
    assert str(raised.value) == f"{fifo}: this is not a regular file; name a file that can be read again"
