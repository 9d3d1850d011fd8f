"""Named tuples without the typing module."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import typing

import pytest

from holdfast.domain import named_tuples


class Pair(named_tuples.NamedTuple):
    """Two things."""

    first: int
    """The first."""
    second: str = "two"

    @property
    def both(self) -> str:
        """The two as one."""
        return f"{self.first} and {self.second}"

    def __str__(self) -> str:
        return f"<{self.both}>"


class Typed(typing.NamedTuple):
    """Two things."""

    first: int
    """The first."""
    second: str = "two"

    @property
    def both(self) -> str:
        """The two as one."""
        return f"{self.first} and {self.second}"

    def __str__(self) -> str:
        return f"<{self.both}>"


def test_it_is_what_typing_makes() -> None:
    """Fields, defaults, methods, docstring, names: the same class but for its name."""
    assert issubclass(Pair, tuple)
    for name in ("_fields", "_field_defaults", "__doc__", "__module__", "__match_args__"):
        assert getattr(Pair, name) == getattr(Typed, name), name
    assert typing.get_type_hints(Pair) == typing.get_type_hints(Typed) == {"first": int, "second": str}
    assert (Pair.__name__, Pair.__qualname__) == ("Pair", "Pair")
    pair: typing.Any = typing.cast("typing.Any", Pair)(1)
    assert pair == Typed(1) == (1, "two")
    assert (repr(pair), str(pair), pair.both) == ("Pair(first=1, second='two')", "<1 and two>", "1 and two")
    assert pair._replace(first=5)._asdict() == {"first": 5, "second": "two"}
    assert pickle.loads(pickle.dumps(pair)) == copy.copy(pair) == pair  # noqa: S301  # our own
    with pytest.raises(TypeError, match="first"):
        typing.cast("typing.Any", Pair)()


def test_typing_is_not_imported() -> None:
    """What it is for."""
    script = f"""
import sys
sys.path[:0] = {sys.path!r}
import holdfast.domain.rules, holdfast.domain.outcome
sys.exit("typing" in sys.modules)
"""
    # Isolated: a developer's environment may import it at every start.
    assert subprocess.run([sys.executable, "-I", "-S", "-c", script], check=False).returncode == 0
