"""Rules: the knobs, the profiles, and TOML."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from holdfast.domain.rules import (
    CARDS,
    KNOBS,
    PROFILES,
    STANDARD,
    Rules,
    RulesError,
    find_rules,
    make_rules,
    read_rules,
)
from strategies import rules

if TYPE_CHECKING:
    from pathlib import Path

# knob, standard, cards, values: the table of the contract
TABLE = [
    ("dispute_withdrawal", "refuse", "provisional_credit", ("refuse", "provisional_credit")),
    ("negative_available_on_dispute", "refuse", "allow", ("refuse", "allow")),
    ("locked_deposit", "refuse", "accept", ("refuse", "accept")),
    ("locked_withdrawal", "refuse", "refuse", ("refuse", "accept")),
    ("locked_dispute", "refuse", "accept", ("refuse", "accept")),
    ("locked_resolve", "refuse", "accept", ("refuse", "accept")),
    ("locked_chargeback", "accept", "accept", ("refuse", "accept")),
    ("redispute_after_resolve", "accept", "accept", ("refuse", "accept")),
    ("refused_tx_id", "reusable", "burned", ("reusable", "burned")),
    ("excess_decimals", "refuse", "refuse", ("refuse", "half_even", "truncate")),
]


def test_profiles_are_those_of_the_contract() -> None:
    """Every knob of every profile has the value that the contract gives it."""
    assert [(knob, getattr(STANDARD, knob), getattr(CARDS, knob), KNOBS[knob]) for knob in KNOBS] == TABLE
    assert PROFILES == {"standard": STANDARD, "cards": CARDS}


def test_knobs_and_fields_agree() -> None:
    """There is a table row for every field, and the defaults are the standard profile."""
    assert tuple(KNOBS) == Rules._fields
    assert Rules() == STANDARD


@pytest.mark.parametrize(("knob", "value"), [(knob, value) for knob, *_, values in TABLE for value in values])
@pytest.mark.parametrize("base", [STANDARD, CARDS], ids=["standard", "cards"])
def test_make_rules_turns_one_knob(knob: str, value: str, base: Rules) -> None:
    """Each knob takes each of its values and leaves the others alone."""
    made = make_rules({knob: value}, base)
    assert made._asdict() == {**base._asdict(), knob: value}


@pytest.mark.parametrize("value", ["Refuse", "", "half_even", 1, True, None, ["refuse"], {}])
def test_make_rules_refuses_values(value: object) -> None:
    """A value that does not exist is refused with those that do."""
    with pytest.raises(RulesError, match="argument: locked_deposit is one of refuse, accept, not"):
        make_rules({"locked_deposit": value}, origin="argument")


def test_make_rules_refuses_knobs() -> None:
    """A knob that does not exist is refused with those that do."""
    with pytest.raises(
        RulesError, match=r"no rule 'locked_deposits'; the rules are dispute_withdrawal, .*excess_decimals"
    ):
        make_rules({"locked_deposits": "accept"})


def test_make_rules_and_files_take_the_same(tmp_path: Path) -> None:
    """A mapping may name its profile as a file does; it goes before the base, and knobs go before it."""
    choices = {"profile": "cards", "locked_withdrawal": "accept"}
    path = tmp_path / "mine.toml"
    path.write_text("".join(f'{knob} = "{value}"\n' for knob, value in choices.items()), encoding="utf-8")
    assert make_rules(choices) == read_rules(str(path)) == CARDS._replace(locked_withdrawal="accept")
    assert make_rules({"profile": "standard"}, CARDS) == STANDARD
    assert choices == {"profile": "cards", "locked_withdrawal": "accept"}


@pytest.mark.parametrize("profile", ["visa", "", 1, None, ["cards"]])
def test_make_rules_refuses_profiles(profile: object) -> None:
    """A profile that does not exist is refused with those that do."""
    with pytest.raises(RulesError, match="rules: profile is one of standard, cards, not"):
        make_rules({"profile": profile})


@given(rules())
def test_toml_round_trip(tmp_path_factory: pytest.TempPathFactory, profile: Rules) -> None:
    """What is written as TOML is read back the same."""
    path = tmp_path_factory.getbasetemp() / "rules.toml"
    path.write_text(profile.to_toml(), encoding="utf-8")
    assert read_rules(str(path)) == profile


def test_read_rules_on_top_of_a_profile(tmp_path: Path) -> None:
    """A file may name the profile that holds for what it does not say."""
    path = tmp_path / "mine.toml"
    path.write_text('profile = "cards"\nlocked_withdrawal = "accept"\n', encoding="utf-8")
    assert read_rules(str(path)) == CARDS._replace(locked_withdrawal="accept")
    path.write_text("", encoding="utf-8")
    assert read_rules(str(path)) == STANDARD


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"locked_deposit = accept", "not a TOML file"),
        (b"\xff", "not a TOML file"),
        (b'profile = "visa"', "profile is one of standard, cards, not 'visa'"),
        (b"profile = 1", "profile is one of standard, cards, not 1"),
        (b'profile = ["cards"]', "profile is one of standard, cards"),
        (b'[rules]\nlocked_deposit = "accept"', "there is no rule 'rules'"),
        (b"locked_deposit = true", "locked_deposit is one of refuse, accept, not True"),
    ],
)
def test_read_rules_refuses(tmp_path: Path, content: bytes, message: str) -> None:
    """A file that says something no rule says is refused by name."""
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(RulesError, match=message) as caught:
        read_rules(str(path))
    assert str(caught.value).startswith(str(path))


def test_find_rules(tmp_path: Path) -> None:
    """A name is a profile's or a TOML file's."""
    path = tmp_path / "mine.toml"
    path.write_text(CARDS.to_toml(), encoding="utf-8")
    assert find_rules("standard") is STANDARD
    assert find_rules("cards") is CARDS
    assert find_rules(str(path)) == find_rules(path) == CARDS
    with pytest.raises(RulesError, match="no rules profile 'visa': give standard, cards or the path"):
        find_rules("visa")
    with pytest.raises(FileNotFoundError):
        find_rules(str(tmp_path / "none.toml"))


@pytest.mark.parametrize("wrong", [None, 1, b"cards", ["cards"], {"locked_deposit": "accept"}])
def test_find_rules_takes_names(wrong: object) -> None:
    """What is no name is refused with what can be given; a mapping is for make_rules."""
    with pytest.raises(
        TypeError, match=r"rules are a profile's name, the path of a .toml file or Rules, not"
    ) as caught:
        find_rules(wrong)  # type: ignore[arg-type]
    assert ("make_rules()" in str(caught.value)) == isinstance(wrong, dict)
