"""Files of tokens: what they may hold, and what a token allows."""

from __future__ import annotations

import copy
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.server.tokens import Grant, TokenFileError, format_entry, make_token, read_tokens


def write(path: Path, text: str) -> str:
    """Write a file of tokens and give its path."""
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


@pytest.mark.parametrize(
    ("patterns", "allowed", "forbidden"),
    [
        (["*"], ["orders", "a/b/c", None], []),
        (["-"], [None], ["orders", "a"]),
        (["orders"], ["orders"], ["orders/1", "order", "xorders", None]),
        (["orders/*"], ["orders/1", "orders/1/2", "orders/"], ["orders", "Orders/1", None]),
        (["a.b", "*:eu"], ["a.b", "shop:eu"], ["axb", "shop:us", "a.b.c", None]),
        (["x*y*z"], ["xyz", "x1y2z"], ["xy", "xzy"]),
        (["ab*ba"], ["abba", "ab-ba"], ["aba", "ab", "ba"]),
        (["*a*"], ["a", "xay"], ["", "x", None]),
        (["**", "--"], ["a", None], []),
        (["a*b*b"], ["abb", "aXbYb", "abbb"], ["ab", "abba"]),
        (["*/paid", "orders"], ["orders", "x/paid", "/paid"], ["paid", "x/paid/y", None]),
    ],
)
def test_patterns(
    patterns: list[str], allowed: list[str | None], forbidden: list[str | None], tmp_path: Path
) -> None:
    """A star stands for any characters and nothing else for more than itself; a minus alone is for anonymous streams."""
    path = write(tmp_path / "tokens", format_entry("secret", patterns) + "\n")
    grant = read_tokens(path).find("secret")
    assert grant is not None
    assert [name for name in allowed if not grant.allows(name)] == []
    assert [name for name in forbidden if grant.allows(name)] == []


@given(pattern=st.text("ab*", min_size=1, max_size=8), name=st.text("ab", min_size=0, max_size=10))
def test_patterns_are_those_of_a_regular_expression(pattern: str, name: str) -> None:
    """Matching from left to right without going back comes to what an expression with backtracking does."""
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert Grant([pattern]).allows(name) is (re.fullmatch(expression, name) is not None)


def test_hostile_patterns_and_names() -> None:
    """Many stars and a name that nearly fits take a number of searches, not of combinations."""
    grant = Grant(["*/" * 60 + "paid", "*a" * 100 + "*b"])
    for _ in range(100):
        assert not grant.allows("/" * 128)
        assert not grant.allows("a" * 128)


@pytest.mark.parametrize("kind", ["fifo", "device", "directory"])
def test_what_is_no_regular_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    """A FIFO that nobody writes to is not waited for."""
    path = tmp_path / "tokens"
    if kind == "fifo":
        os.mkfifo(path, 0o600)
    elif kind == "directory":
        path.mkdir()
    else:
        path = Path(os.devnull)
    with pytest.raises(OSError, match=r"regular file|directory") as raised:
        read_tokens(str(path))
    assert raised.value.filename == str(path)


@pytest.mark.parametrize("patterns", [[], ["a,b"], ["a b"], ["#x"], [""]])
def test_impossible_patterns(patterns: list[str]) -> None:
    """A line that the server would refuse is not written."""
    with pytest.raises(ValueError, match="a pattern consists of"):
        format_entry("a", patterns)


def test_error_can_be_copied() -> None:
    """An error of a file of tokens says the same when it is copied, as it is for another process."""
    error = copy.copy(TokenFileError("tokens", "line 1 is wrong"))
    assert str(error) == "tokens: line 1 is wrong"


def test_unknown_tokens(tmp_path: Path) -> None:
    """A token that is not there finds nothing, however alike it is; each one that is there finds its own."""
    entries = [format_entry(f"secret{number}", [f"s{number}"]) for number in range(5)]
    tokens = read_tokens(write(tmp_path / "tokens", "# ours\n\n" + " # x\n".join(entries)))
    assert len(tokens) == 5
    for number in range(5):
        grant = tokens.find(f"secret{number}")
        assert grant is not None
        assert grant.allows(f"s{number}")
        assert not grant.allows(f"s{number + 1}")
    for guess in ("", "secret", "secret5", "Secret1", "secret1 "):
        assert tokens.find(guess) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "this file has no tokens"),
        ("# nothing\n", "this file has no tokens"),
        ("hunter2 *\n", "line 1 is not sha256:HEX PATTERN"),
        (f"sha256:{'0' * 64}\n", "line 1 is not sha256:HEX PATTERN"),
        (f"sha256:{'0' * 64} a,b\n", "line 1 is not sha256:HEX PATTERN"),
        (
            f"{format_entry('a', ['x'])}\n{format_entry('a', ['y'])}\n",
            "line 2 has a token that another line has",
        ),
        ("sha256:00 *\n", "line 1 is not sha256:HEX PATTERN"),
        ("\0" * 100, "line 1 is not sha256:HEX PATTERN"),
    ],
)
def test_bad_files(text: str, said: str, tmp_path: Path) -> None:
    """A file with a mistake is refused as a whole: file, line, what to do; never the line, which may be a secret."""
    path = write(tmp_path / "tokens", text)
    with pytest.raises(TokenFileError, match=r".") as raised:
        read_tokens(path)
    assert str(raised.value).startswith(f"{path}: {said}")
    assert "hunter2" not in str(raised.value).removeprefix(path)


def test_file_that_others_may_change(tmp_path: Path) -> None:
    """A file that other users can write to is refused: they could let anybody in."""
    path = tmp_path / "tokens"
    path.write_text(format_entry("a", ["*"]))
    path.chmod(0o662)
    with pytest.raises(TokenFileError, match="chmod go-w"):
        read_tokens(str(path))


def test_tokens_are_new() -> None:
    """No token is made twice, and each fits into a directive."""
    made = {make_token() for _ in range(100)}
    assert len(made) == 100
    assert all(len(token) < 100 and token.isascii() and token.isprintable() for token in made)
