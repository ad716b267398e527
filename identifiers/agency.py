"""One agency as the directory knows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from identifiers.organ_id import OrganId


@dataclass(frozen=True, slots=True)
class Agency:
    """One agency. `organ_id` is its primary code, `aliases` its other codes (old or new)."""

    organ_id: OrganId
    name: str
    aliases: tuple[OrganId, ...] = ()
    #: First day on which the agency exists; None: always has.
    valid_from: date | None = None
    #: Last day on which it exists (abolished on 2025-07-01 means 2025-06-30); None: no end known.
    valid_until: date | None = None
    #: Who took over: one after a merger or a renaming, several after a split.
    successors: tuple[OrganId, ...] = ()

    @property
    def codes(self) -> tuple[OrganId, ...]:
        """Every code of the agency, the primary one first, each once."""
        return tuple(dict.fromkeys((self.organ_id, *self.aliases)))

    def is_active(self, on: date) -> bool:
        """Whether the agency exists on that day."""
        begun = self.valid_from is None or self.valid_from <= on
        return begun and (self.valid_until is None or on <= self.valid_until)
