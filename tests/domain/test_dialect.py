"""Dialects as values: what cannot be meant is refused, and TOML brings the rest back."""

from __future__ import annotations

import pickle
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import holdfast
from holdfast.domain.dialect import COLUMNS, TYPES, Dialect, DialectError
from holdfast.domain.transaction import TransactionType
from holdfast.kernel.csv.header import KNOWN

if TYPE_CHECKING:
    from pathlib import Path

NAMES = st.text(st.characters(codec="utf-8", exclude_characters='"\n'), min_size=1, max_size=12).filter(
    lambda text: bool(text.strip())
)


def test_columns_and_types_are_those_of_the_kernel() -> None:
    """One list of each, in one order."""
    assert COLUMNS == KNOWN
    assert [type_.name.lower() for type_ in TransactionType] == list(TYPES)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"delimiter": ";;"}, "delimiter is one sign"),
        ({"delimiter": "1"}, "delimiter is one sign"),
        ({"delimiter": " "}, "delimiter is one sign"),
        ({"delimiter": '"'}, "delimiter is one sign"),
        ({"delimiter": "\n"}, "delimiter is one sign"),
        ({"delimiter": "."}, "delimiter is one sign"),
        ({"delimiter": 1}, "delimiter is one sign"),
        ({"thousands": "x"}, "thousands is one of"),
        ({"thousands": "."}, "thousands and the decimal sign are both '.': 1.234 would be two amounts"),
        (
            {"thousands": ",", "decimal_comma": True, "delimiter": ";"},
            "thousands and the decimal sign are both ','",
        ),
        ({"thousands": ","}, "thousands and delimiter are both ',': 1,234 would be two fields"),
        ({"decimal_comma": "yes"}, "decimal_comma is true or false"),
        ({"encoding": "utf-99"}, "there is no encoding 'utf-99'"),
        ({"encoding": "base64"}, "encoding 'base64' is none that a file of text has"),
        ({"encoding": "idna"}, "encoding 'idna' is none"),
        ({"encoding": "a\0b"}, "there is no encoding"),
        ({"skip_rows": -1}, "skip_rows is a number from 0"),
        ({"skip_rows": True}, "skip_rows is a number from 0"),
        ({"footer": "**"}, "the pattern '\\*\\*' is empty, has only stars"),
        ({"footer": "x" * 300}, "more than 256 bytes"),
        ({"footer": ["a"] * 17}, "footer has up to 16 patterns"),
        ({"footer": 1}, "footer is a text or a list of texts"),
        ({"columns": {"clint": "a"}}, "there is no 'clint' \\(did you mean 'client'\\?\\)"),
        ({"columns": {"client": "a", "tx": " A "}}, "client and tx cannot both be the column ' A '"),
        ({"columns": {"client": ""}}, "client is the name of a column"),
        ({"columns": "client"}, "columns is a table"),
        ({"types": {"credit": "CR"}}, "types: there is no 'credit'"),
        (
            {"types": {"deposit": "X", "withdrawal": ["x"]}},
            "the word 'x' cannot be both deposit and withdrawal",
        ),
        ({"types": {"deposit": "withdrawal"}}, "the word 'withdrawal' cannot be both withdrawal and deposit"),
        ({"types": {"deposit": 'a"b'}}, "is no word for deposit"),
        ({"types": {"deposit": [f"w{n}" for n in range(65)]}}, "up to 64 words"),
    ],
)
def test_what_cannot_be_meant_is_refused(choices: dict[str, Any], message: str) -> None:
    """Before a file is opened, and with what was found."""
    with pytest.raises(DialectError, match=message):
        Dialect(**choices)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"delimiter": "tab"}, {"delimiter": "\t"}),
        ({"delimiter": "\\t"}, {"delimiter": "\t"}),
        ({"delimiter": "semicolon"}, {"delimiter": ";"}),
        ({"thousands": "space"}, {"thousands": " "}),
        ({"footer": "Total*"}, {"footer": ("Total*",)}),
        ({"footer": ["a", "b"]}, {"footer": ("a", "b")}),
        ({"types": {"deposit": "CR"}}, {"types": {"deposit": ("CR",)}}),
        ({"columns": {"client": " Client ID "}}, {"columns": {"client": "Client ID"}}),
        ({"encoding": "UTF8"}, {"encoding": "utf-8"}),
        ({"encoding": "utf-8-sig"}, {"encoding": "utf-8"}),
        ({"encoding": "Windows-1252"}, {"encoding": "Windows-1252"}),
        ({"types": {"deposit": "Deposit"}}, {"types": {"deposit": ("Deposit",)}}),
    ],
)
def test_there_is_one_form_of_everything(given: dict[str, Any], kept: dict[str, Any]) -> None:
    """Names of signs become signs, single texts become lists."""
    dialect = Dialect(**given)
    assert {name: getattr(dialect, name) for name in kept} == kept


@given(
    st.builds(
        Dialect,
        delimiter=st.sampled_from([",", ";", "\t", "|"]),
        columns=st.dictionaries(st.sampled_from(COLUMNS), NAMES, max_size=1),
        decimal_comma=st.booleans(),
        thousands=st.sampled_from(["", " ", "'", "\u202f"]),
        encoding=st.sampled_from(["utf-8", "utf-16", "cp850"]),
        skip_rows=st.integers(0, 9),
        footer=st.lists(NAMES.filter(lambda text: bool(text.strip("* \t"))), max_size=3),
        types=st.dictionaries(
            st.sampled_from(TYPES[:1]), st.lists(NAMES, max_size=3, unique=True), max_size=1
        ),
    )
)
def test_toml_brings_a_dialect_back(dialect: Dialect) -> None:
    """Any names, in any script: the file says the same."""
    text = dialect.to_toml()
    assert Dialect().changed(tomllib.loads(text)) == dialect
    assert pickle.loads(pickle.dumps(dialect)) == dialect  # noqa: S301  # its own
    assert hash(Dialect().changed(tomllib.loads(text))) == hash(dialect)


def test_a_plain_dialect_says_nothing() -> None:
    """The defaults are a plain file's."""
    assert Dialect().to_toml() == ""
    assert Dialect().is_plain
    assert not Dialect(skip_rows=1).is_plain


def test_what_is_given_goes_before_a_file(tmp_path: Path) -> None:
    """Columns and types are changed one by one."""
    path = tmp_path / "partner.toml"
    path.write_text(
        'delimiter = ";"\nskip_rows = 2\n[columns]\nclient = "Kunde"\namount = "Betrag"\n', encoding="utf-8"
    )
    changed = holdfast.Dialect.load(path).changed({"skip_rows": 0, "columns": {"client": "Konto"}})
    assert changed == Dialect(delimiter=";", columns={"client": "Konto", "amount": "Betrag"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"delimiter = ;", "not a TOML file"),
        (b"\xff", "not a TOML file"),
        (b'delimeter = ";"', "there is no setting 'delimeter' \\(did you mean 'delimiter'\\?\\)"),
        (b'thousands = "."', "thousands and the decimal sign"),
        (b"columns = 1", "columns is a table"),
    ],
)
def test_a_file_that_is_no_dialect_is_refused_by_name(tmp_path: Path, text: bytes, message: str) -> None:
    """The message begins with the path."""
    path = tmp_path / "partner.toml"
    path.write_bytes(text)
    with pytest.raises(DialectError, match=f"partner.toml: {message}"):
        Dialect.load(path)
