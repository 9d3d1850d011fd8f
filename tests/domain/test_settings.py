"""Settings: one checked value, and a fingerprint of all that outcomes depend on."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.domain.rules import CARDS, KNOBS, make_rules
from holdfast.domain.settings import Settings, check_settings, make_settings

OTHERS: dict[str, Any] = {"decimals": 2, "client_bits": 32, "tx_bits": 64, "row_bytes_max": 100}


def test_defaults() -> None:
    """What is not said is as in the standard profile, with ids of 16 and 32 bits."""
    settings = make_settings()
    assert settings == Settings()
    assert (settings.client_max, settings.tx_max) == (65_535, 4_294_967_295)


def test_every_setting_changes_the_fingerprint_but_the_batch_size() -> None:
    """Two settings have one fingerprint if and only if all outcomes are the same."""
    knobs = [make_rules({knob: value}) for knob, values in KNOBS.items() for value in values]
    settings = {make_settings(rules) for rules in [*knobs, CARDS]}
    settings |= {make_settings(**{name: value}) for name, value in OTHERS.items()}
    assert len({each.fingerprint for each in settings}) == len(settings)
    assert make_settings(batch_rows=7).fingerprint == make_settings().fingerprint


def test_the_fingerprint_is_for_ever() -> None:
    """Journals hold it."""
    assert make_settings().fingerprint == "6ae445002e80afd452db8758d73449848788679f6727de312284f4b017e8f7e4"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"decimals": 10}, "decimals is 0 to 9, not 10"),
        ({"decimals": -1}, "decimals is 0 to 9, not -1"),
        ({"client_bits": 24}, "ids are 16, 32 or 64 bits wide"),
        ({"tx_bits": 2**40}, "ids are 16, 32 or 64 bits wide"),
        ({"row_bytes_max": 0}, "row_bytes_max is 1 to 1048576, not 0"),
        ({"batch_rows": 2**21}, "batch_rows is 1 to 1048576"),
    ],
)
def test_out_of_range(wrong: dict[str, Any], message: str) -> None:
    """A number out of range is named, with the range; nothing is computed from it before."""
    with pytest.raises(ValueError, match=message):
        make_settings(**wrong)


@pytest.mark.parametrize("wrong", [{"decimals": 4.0}, {"tx_bits": True}, {"batch_rows": "8"}])
def test_other_types(wrong: dict[str, Any]) -> None:
    """A number is an int."""
    with pytest.raises(TypeError, match="is an int, not"):
        make_settings(**wrong)


def test_what_is_no_settings() -> None:
    """Neither a tuple nor rules alone are settings."""
    for other in (None, tuple(Settings()), CARDS, Settings(rules="cards")):  # type: ignore[arg-type]  # that is the point
        with pytest.raises(TypeError, match=r"make_settings|find_rules"):
            check_settings(other)
