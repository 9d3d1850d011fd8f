"""What engines disagree on, as configuration: the knobs, the named profiles, and TOML in and out."""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from typing import NamedTuple
else:
    from holdfast.domain.named_tuples import NamedTuple

KNOBS: Mapping[str, tuple[str, ...]] = {
    "dispute_withdrawal": ("refuse", "provisional_credit"),
    "negative_available_on_dispute": ("refuse", "allow"),
    "locked_deposit": ("refuse", "accept"),
    "locked_withdrawal": ("refuse", "accept"),
    "locked_dispute": ("refuse", "accept"),
    "locked_resolve": ("refuse", "accept"),
    "locked_chargeback": ("refuse", "accept"),
    "redispute_after_resolve": ("refuse", "accept"),
    "refused_tx_id": ("reusable", "burned"),
    "excess_decimals": ("refuse", "half_even", "truncate"),
}
"""Every knob with the values it takes."""


class RulesError(ValueError):
    """A rules profile that does not exist, or rules with a knob or a value that does not exist."""


class Rules(NamedTuple):
    """One choice per knob; the defaults are the ``standard`` profile.

    Make one with :func:`make_rules`, which checks.
    """

    dispute_withdrawal: str = "refuse"
    """Whether a withdrawal can be disputed, and what that does: ``refuse``, ``provisional_credit``."""
    negative_available_on_dispute: str = "refuse"
    """Whether a dispute may take available below zero: ``refuse``, ``allow``."""
    locked_deposit: str = "refuse"
    """Whether a locked account takes deposits: ``refuse``, ``accept``."""
    locked_withdrawal: str = "refuse"
    """Whether a locked account takes withdrawals: ``refuse``, ``accept``."""
    locked_dispute: str = "refuse"
    """Whether a locked account takes disputes: ``refuse``, ``accept``."""
    locked_resolve: str = "refuse"
    """Whether a locked account takes resolves: ``refuse``, ``accept``."""
    locked_chargeback: str = "accept"
    """Whether a locked account takes chargebacks: ``refuse``, ``accept``."""
    redispute_after_resolve: str = "accept"
    """Whether a transaction can be disputed again after a resolve: ``refuse``, ``accept``."""
    refused_tx_id: str = "reusable"
    """Whether a refused deposit or withdrawal uses up its tx id: ``reusable``, ``burned``."""
    excess_decimals: str = "refuse"
    """What to do about more decimals than are kept: ``refuse``, ``half_even``, ``truncate``."""

    def to_toml(self) -> str:
        """Write the knobs as a TOML document that :func:`read_rules` reads."""
        return "".join(f'{knob} = "{value}"\n' for knob, value in self._asdict().items())


STANDARD = Rules()
CARDS = Rules(
    dispute_withdrawal="provisional_credit",
    negative_available_on_dispute="allow",
    locked_deposit="accept",
    locked_dispute="accept",
    locked_resolve="accept",
    refused_tx_id="burned",
)
PROFILES: Mapping[str, Rules] = {"standard": STANDARD, "cards": CARDS}
"""The named profiles."""


def make_rules(choices: Mapping[str, object], base: Rules = STANDARD, origin: str = "rules") -> Rules:
    """Change the knobs named in ``choices`` on top of a profile; takes what a rules file may say, and nothing else.

    Args:
        choices: Knob names and their values; under ``profile`` the name of a profile, which takes the place of ``base``.
        base: What holds for the knobs that are not named.
        origin: Where the choices come from, for the error message: a file's name, an argument.

    Raises:
        RulesError: For a profile, a knob or a value that does not exist; the message lists those that do.
    """
    knobs = dict(choices)
    if "profile" in knobs:
        profile = knobs.pop("profile")
        if not isinstance(profile, str) or profile not in PROFILES:
            raise RulesError(f"{origin}: profile is one of {', '.join(PROFILES)}, not {profile!r}")
        base = PROFILES[profile]
    for knob, value in knobs.items():
        allowed = KNOBS.get(knob)
        if allowed is None:
            raise RulesError(f"{origin}: there is no rule {knob!r}; the rules are {', '.join(KNOBS)}")
        if value not in allowed:
            raise RulesError(f"{origin}: {knob} is one of {', '.join(allowed)}, not {value!r}")
    return Rules(**{**base._asdict(), **knobs})


def read_rules(path: str) -> Rules:
    """Read a custom profile from a TOML file.

    The file holds knobs and, optionally, ``profile = "cards"``: the named profile that holds for the knobs
    left out (``standard`` without it).

    Raises:
        RulesError: If the file is no TOML, or has a profile, a knob or a value that does not exist.
        OSError: If it cannot be read.
    """
    # Imported here: of all commands only one with a rules file needs it.
    import tomllib  # noqa: PLC0415

    with open(path, "rb") as file:
        try:
            choices = tomllib.load(file)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise RulesError(f"{path}: not a TOML file: {error}") from error
    return make_rules(choices, origin=path)


def find_name(rules: Rules) -> str:
    """Give the name of the profile that has these rules, or ``custom``."""
    return next((name for name, profile in PROFILES.items() if profile == rules), "custom")


def find_rules(name: str | os.PathLike[str]) -> Rules:
    """Give the named profile, or the one in the TOML file of that name.

    Raises:
        RulesError: If there is neither, or the file is not a rules file.
        TypeError: If it is no name and no path.
        OSError: If the file cannot be read.
    """
    if hasattr(name, "__fspath__"):
        name = name.__fspath__()
    if not isinstance(name, str):
        hint = "; make_rules() makes Rules of a mapping" if hasattr(name, "items") else ""
        raise TypeError(
            f"rules are a profile's name, the path of a .toml file or Rules, not {type(name).__name__}{hint}"
        )
    if name in PROFILES:
        return PROFILES[name]
    if not name.endswith(".toml"):
        raise RulesError(f"no rules profile {name!r}: give {', '.join(PROFILES)} or the path of a .toml file")
    return read_rules(name)
