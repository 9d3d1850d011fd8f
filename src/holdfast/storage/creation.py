"""Making a ledger, and the settings with which it was made."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from holdfast.domain.rules import find_name, find_rules
from holdfast.domain.settings import BATCH_ROWS_DEFAULT, Settings, check_settings, make_settings
from holdfast.domain.settings_text import decode_settings, encode_settings
from holdfast.storage.failures import LedgerSettingsError
from holdfast.storage.hashing import hash_of
from holdfast.storage.ports import StoreDamagedError, StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.storage.ports import Reader, Store


class Described(Protocol):
    """What has a ledger's description."""

    def meta(self, key: str) -> bytes | None:
        """Give a value of it."""


SETTINGS_AT_CREATION = ("rules", "decimals", "client_bits", "tx_bits", "row_bytes_max")
"""What is said of a ledger when it is made, and stays."""
_SETTINGS = "settings"
_LEDGER_ID = "ledger"
_SEAL = "seal"


def find_settings(
    store: Store,
    reader: Reader,
    wanted: Mapping[str, object],
    batch_rows: int | None,
    *,
    may_create: bool,
) -> Settings:
    """Give the settings with which a ledger was made; make it if there is none.

    Args:
        store: The ledger's store.
        reader: A reader of it.
        wanted: Settings by name, those that were asked for; None where nothing was.
        batch_rows: How many rows are decided at a time now.
        may_create: Whether a ledger may be made.

    Raises:
        StoreError: If there is none and none may be made.
        StoreDamagedError: If its description cannot be read.
    """
    if may_create and reader.meta(_SETTINGS) is None:
        settings = settings_of_new(wanted, batch_rows)
        store.create(describe(encode_settings(settings), os.urandom(16)))
        return settings
    settings = read_settings(store.name, reader)
    return settings._replace(batch_rows=BATCH_ROWS_DEFAULT if batch_rows is None else batch_rows)


def read_settings(name: str, reader: Described) -> Settings:
    """Give the settings with which a ledger was made.

    Raises:
        StoreError: If there is no ledger.
        StoreDamagedError: If its description cannot be read.
    """
    found = reader.meta(_SETTINGS)
    if found is None:
        raise StoreError(f"{name}: there is no ledger here yet; `holdfast load --data {name} FILE` makes one")
    seal = reader.meta(_SEAL)
    if seal is not None and seal != describe(found, reader.meta(_LEDGER_ID) or b"")[_SEAL]:
        raise StoreDamagedError(
            f"{name}: the description of this ledger is not what was written; restore a backup"
        )
    try:
        return decode_settings(found)
    except ValueError as error:
        raise StoreDamagedError(f"{name}: the description of this ledger cannot be read: {error}") from error


def describe(settings: bytes, ledger_id: bytes) -> dict[str, bytes]:
    """Give the description of a new ledger: its settings, its id, and a hash of both."""
    return {_SETTINGS: settings, _LEDGER_ID: ledger_id, _SEAL: hash_of(ledger_id + settings)}


def check_wanted(name: str, settings: Settings, wanted: Mapping[str, object]) -> None:
    """Compare the settings in force with those that were asked for.

    Raises:
        LedgerSettingsError: If they differ; both are named.
        RulesError: If the rules that were asked for are none.
    """
    check_settings(settings)
    for what, value in wanted.items():
        if value is None:
            continue
        if what == "rules":
            rules = find_rules(value) if isinstance(value, str) else value
            if rules != settings.rules:
                raise LedgerSettingsError(name, what, _name_rules(rules), find_name(settings.rules))
        elif value != getattr(settings, what):
            raise LedgerSettingsError(name, what, value, getattr(settings, what))


def _name_rules(rules: object) -> str:
    return find_name(rules)  # type: ignore[arg-type]  # find_rules() gave them, or the caller did


def settings_of_new(wanted: Mapping[str, object], batch_rows: int | None) -> Settings:
    """Make the settings of a new ledger: those that were asked for, and the defaults.

    Raises:
        RulesError: If there are no such rules.
        ValueError: If a number is out of range.
        OSError: If the rules file cannot be read.
    """
    given: dict[str, object] = {name: value for name, value in wanted.items() if value is not None}
    rules = given.pop("rules", "standard")
    if batch_rows is not None:
        given["batch_rows"] = batch_rows
    return make_settings(rules, **given)  # type: ignore[arg-type]  # make_settings() checks all of them
