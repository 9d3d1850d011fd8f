"""Settings as text, and back: in a ledger's description, in its journal, in its checkpoints."""

from __future__ import annotations

import tomllib

from holdfast.domain.rules import make_rules
from holdfast.domain.settings import Settings, check_settings

_NUMBERS = ("decimals", "client_bits", "tx_bits", "row_bytes_max")


def encode_settings(settings: Settings) -> bytes:
    """Write everything that outcomes depend on as a TOML document: numbers, and a table of rules."""
    numbers = "".join(f"{name} = {getattr(settings, name)}\n" for name in _NUMBERS)
    return f"{numbers}\n[rules]\n{settings.rules.to_toml()}".encode()


def decode_settings(data: bytes) -> Settings:
    """Read settings back.

    Raises:
        ValueError: If they are none.
    """
    try:
        found = tomllib.loads(data.decode())
        rules = make_rules(found.pop("rules"))
        settings = Settings(rules=rules, **found)
        check_settings(settings)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"these are no settings: {error}") from error
    return settings
