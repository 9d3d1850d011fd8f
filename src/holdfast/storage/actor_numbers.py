"""Who sent the rows of an entry, as numbers; and which addresses are kept beside it, so that they can be erased.

What is kept beside an entry costs a commit as much as the entry itself, if that is small. So the address of a connection is kept
with one entry, and the entries of the next ten minutes refer to that one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.storage.origin_sections import ActorSection, KeptAt, NamedActor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.domain.origin import Actor

KEPT_US = 600_000_000
"""For how long entries refer to an address: if what is older than a time is erased, so much after it loses addresses too."""
_KNOWN_MAX = 16_384


class _Known(NamedTuple):
    """Where an address is kept, and since when."""

    place: KeptAt
    time_us: int


class ActorNumbers:
    """Numbers the actors of entries.

    Args:
        keeps_addresses: Whether addresses are kept at all.
    """

    def __init__(self, *, keeps_addresses: bool) -> None:
        self._keeps_addresses = keeps_addresses
        self._known: dict[Actor, _Known] = {}

    def of_entry(
        self, sequence: int, time_us: int, actors: Mapping[int, Actor]
    ) -> tuple[ActorSection, list[tuple[int, str]]]:
        """Give what an entry says of its actors, and the addresses to keep beside it, by the actors' numbers.

        Args:
            sequence: The entry's key.
            time_us: When it is made.
            actors: The actors by the number of their stretch.
        """
        numbers: dict[Actor, int] = {}
        stretches = []
        for stretch, actor in actors.items():
            kept = actor if self._keeps_addresses else actor._replace(address="")
            stretches.append((stretch, numbers.setdefault(kept, len(numbers))))
        named = []
        addresses = []
        for actor, number in numbers.items():
            known = self._known.get(actor)
            if not actor.address:
                named.append(NamedActor(actor.id))
            elif known is not None and time_us - known.time_us < KEPT_US:
                named.append(NamedActor(actor.id, known.place))
            else:
                place = KeptAt(sequence, number)
                named.append(NamedActor(actor.id, place))
                addresses.append((number, actor.address))
                self._remember(actor, _Known(place, time_us))
        return ActorSection(tuple(named), tuple(stretches)), addresses

    def _remember(self, actor: Actor, known: _Known) -> None:
        if len(self._known) >= _KNOWN_MAX:
            self._known = {
                each: place for each, place in self._known.items() if known.time_us - place.time_us < KEPT_US
            }
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
        self._known[actor] = known
