"""A client's account at one point in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.domain.amount import to_decimal
from holdfast.domain.sealed import sealed
from holdfast.domain.settings import DECIMALS_DEFAULT

if TYPE_CHECKING:
    from decimal import Decimal


@sealed
@dataclass(frozen=True, slots=True)
class Account:
    """Balances in units of ``10 ** -decimals``, exact, and never stored twice: the total is always derived.

    Args:
        client: The client's id.
        available_units: What the client can withdraw.
        held_units: What disputes hold back.
        locked: Whether a chargeback has locked the account.
        decimals: How many decimals a unit stands for.
    """

    client: int
    available_units: int
    held_units: int
    locked: bool
    decimals: int = DECIMALS_DEFAULT

    @property
    def total_units(self) -> int:
        """Available and held together."""
        return self.available_units + self.held_units

    @property
    def available(self) -> Decimal:
        """What the client can withdraw, as an exact Decimal."""
        return to_decimal(self.available_units, self.decimals)

    @property
    def held(self) -> Decimal:
        """What disputes hold back, as an exact Decimal."""
        return to_decimal(self.held_units, self.decimals)

    @property
    def total(self) -> Decimal:
        """Available and held together, as an exact Decimal."""
        return to_decimal(self.total_units, self.decimals)
