"""What decides how rows are read and judged, as one value: rules, decimals, widths of ids, limits."""

from __future__ import annotations

from holdfast.domain.rules import STANDARD, Rules, find_rules

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from holdfast.domain.named_tuples import NamedTuple

DECIMALS_DEFAULT = 4
DECIMALS_MAX = 9
ID_BITS = (16, 32, 64)
"""The widths that ids can have."""
CLIENT_BITS_DEFAULT = 16
TX_BITS_DEFAULT = 32
ROW_BYTES_DEFAULT = 4096
"""How long a row may be unless configured otherwise, without its line end."""
ROW_BYTES_MAX = 1 << 20
BATCH_ROWS_DEFAULT = 8192
"""How many rows are decoded into a batch: its columns then fit a core's second-level cache."""
BATCH_ROWS_MAX = 1 << 20


class Settings(NamedTuple):
    """Everything that an outcome depends on beside the rows. Make one with :func:`make_settings`, which checks."""

    rules: Rules = STANDARD
    """The rules to decide by."""
    decimals: int = DECIMALS_DEFAULT
    """How many decimals an amount keeps, 0 to 9."""
    client_bits: int = CLIENT_BITS_DEFAULT
    """How wide client ids are: 16, 32 or 64."""
    tx_bits: int = TX_BITS_DEFAULT
    """How wide transaction ids are: 16, 32 or 64."""
    row_bytes_max: int = ROW_BYTES_DEFAULT
    """How long a row of text may be without its line end."""
    batch_rows: int = BATCH_ROWS_DEFAULT
    """How many rows are decoded and decided at a time; no outcome depends on it."""

    @property
    def client_max(self) -> int:
        """The largest client id."""
        return (1 << self.client_bits) - 1

    @property
    def tx_max(self) -> int:
        """The largest transaction id."""
        return (1 << self.tx_bits) - 1

    @property
    def fingerprint(self) -> str:
        """Name everything that outcomes depend on: the SHA-256 of a text that lists it, in hexadecimal.

        Two settings with one fingerprint give the same outcomes for the same rows. ``batch_rows`` is no part of it.
        """
        import hashlib  # noqa: PLC0415  # slow to import, and only journals and protocols ask

        numbers = (self.decimals, self.client_bits, self.tx_bits, self.row_bytes_max)
        names = ("decimals", "client_bits", "tx_bits", "row_bytes_max")
        text = "holdfast settings 1\n" + self.rules.to_toml()
        text += "".join(f"{name} = {number}\n" for name, number in zip(names, numbers, strict=True))
        return hashlib.sha256(text.encode()).hexdigest()


def make_settings(
    rules: str | Rules = "standard",
    *,
    decimals: int = DECIMALS_DEFAULT,
    client_bits: int = CLIENT_BITS_DEFAULT,
    tx_bits: int = TX_BITS_DEFAULT,
    row_bytes_max: int = ROW_BYTES_DEFAULT,
    batch_rows: int = BATCH_ROWS_DEFAULT,
) -> Settings:
    """Make settings and check them.

    Args:
        rules: The name of a profile (``standard``, ``cards``), the path of a .toml file, or :class:`Rules`.
        decimals: How many decimals an amount keeps, 0 to 9.
        client_bits: How wide client ids are: 16, 32 or 64.
        tx_bits: How wide transaction ids are: 16, 32 or 64.
        row_bytes_max: How long a row of text may be without its line end.
        batch_rows: How many rows are decoded and decided at a time.

    Raises:
        RulesError: If there are no such rules.
        TypeError: If a number is no int.
        ValueError: If a number is out of range.
        OSError: If the rules file cannot be read.
    """
    found = rules if isinstance(rules, Rules) else find_rules(rules)
    settings = Settings(found, decimals, client_bits, tx_bits, row_bytes_max, batch_rows)
    check_settings(settings)
    return settings


def check_settings(settings: object) -> None:
    """Refuse settings that no engine can have.

    Raises:
        TypeError: If they are no :class:`Settings`, or one of them is of the wrong type.
        ValueError: If one of them is out of range.
    """
    if not isinstance(settings, Settings):
        raise TypeError(f"settings are a Settings, not {type(settings).__name__}; make_settings() makes them")
    if not isinstance(settings.rules, Rules):
        raise TypeError(
            f"rules are a Rules, not {type(settings.rules).__name__}; find_rules() gives one by name"
        )
    for name, number in zip(settings._fields[1:], settings[1:], strict=True):
        if isinstance(number, bool) or not isinstance(number, int):
            raise TypeError(f"{name} is an int, not {type(number).__name__}")
    _check_range("decimals", settings.decimals, 0, DECIMALS_MAX)
    if settings.client_bits not in ID_BITS or settings.tx_bits not in ID_BITS:
        raise ValueError(
            f"ids are 16, 32 or 64 bits wide, not {settings.client_bits} (client) and {settings.tx_bits} (tx)"
        )
    _check_range("row_bytes_max", settings.row_bytes_max, 1, ROW_BYTES_MAX)
    _check_range("batch_rows", settings.batch_rows, 1, BATCH_ROWS_MAX)


def _check_range(name: str, number: int, least: int, most: int) -> None:
    if not least <= number <= most:
        raise ValueError(f"{name} is {least} to {most}, not {number}")
