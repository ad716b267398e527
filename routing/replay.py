"""Replaying the event log: does it tell the same states as the deliveries have?

Every change of a delivery is written with its event in one transaction, so the log must lead to
exactly the states that are stored. `Replay` reads events in their order and compares at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from routing.accepted_facts import ACCEPTED, package_differences
from routing.records import Delivery, Event, PackageRecord


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """Log and table disagree, or the log contradicts itself."""

    #: Of the delivery, or of the package whose acceptance tells otherwise.
    delivery_id: str
    what: str
    by_log: str | None
    found: str | None
    #: Number of the event at which the log contradicts itself; 0 for a comparison at the end.
    seq: int = 0


@dataclass(slots=True)
class _Told:
    transport: str | None = None
    business: str | None = None
    change: str | None = None
    #: Time of the last `delivery.delivered`.
    delivered_at: datetime | None = None


@dataclass(slots=True)
class Replay:
    """The states of all deliveries as the events tell them."""

    told: dict[str, _Told] = field(default_factory=dict)
    discrepancies: list[Discrepancy] = field(default_factory=list)
    events: int = 0
    #: The recipients' codes, as the log first named them.
    recipients: dict[str, str] = field(default_factory=dict)
    #: The package that each delivery carries and the document that it belongs to, as the log first
    #: told; they never change.
    carried: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    _held: set[str] = field(default_factory=set)

    def take(self, event: Event) -> None:
        """The next event of the log."""
        self.events += 1
        family = event.type.partition(".")[0]
        if event.delivery_id is None or event.to_state is None:
            return
        if "organId" in event.data:
            self.recipients.setdefault(event.delivery_id, event.data["organId"])
        if family == "delivery":
            told = event.package_id, event.document_pk
            self.carried.setdefault(event.delivery_id, told)
        names = {"delivery": "transport", "report": "business", "change": "change"}
        name = names.get(family)
        if name is None:
            return
        state = self.told.setdefault(event.delivery_id, _Told())
        known = getattr(state, name)
        if known != event.from_state:
            self.discrepancies.append(
                Discrepancy(event.delivery_id, name, known, event.from_state, event.seq)
            )
        setattr(state, name, event.to_state)
        if event.type == "delivery.withdrawn" and event.data.get("why") == "recalled":
            state.change = "recalled"
        if event.type == "delivery.delivered":
            state.delivered_at = event.at

    def compare(self, deliveries: Iterable[Delivery]) -> int:
        """Hold these deliveries against the log; how many were looked at."""
        count = 0
        for row in deliveries:
            count += 1
            self.hold(
                row.id,
                {
                    "transport": row.state.value,
                    "business": row.business_state.value if row.business_state else None,
                    "change": row.change_state,
                    "delivered_at": row.delivered_at,
                },
            )
            self._hold_carried(row)
        return count

    def _hold_carried(self, row: Delivery) -> None:
        """What is delivered to whom: as it was when the delivery began."""
        package, document = self.carried.get(row.id, (row.package_id, row.document_pk))
        recipient = self.recipients.get(row.id, row.recipient_organ_id)
        self.discrepancies += [
            Discrepancy(row.id, what, by_log, found)
            for what, by_log, found in (
                ("recipient", recipient, row.recipient_organ_id),
                ("package", package, row.package_id),
                ("document", document, row.document_pk),
            )
            if by_log != found
        ]

    def not_accepted(self, package_ids: Iterable[str]) -> None:
        """Packages that are stored and whose acceptance no event tells of: nobody handed them in.

        Those that the gateway issues itself are accepted like others; refused ones are not stored.
        """
        self.discrepancies += [Discrepancy(one, "package", None, "stored") for one in package_ids]

    def compare_packages(
        self, events: Iterable[Event], packages: Mapping[str, PackageRecord]
    ) -> None:
        """Hold stored packages, by id, against the events of their acceptance among these."""
        for event in events:
            if event.type != ACCEPTED or event.package_id is None:
                continue
            package = packages.get(event.package_id)
            if package is None:
                self.discrepancies.append(
                    Discrepancy(event.package_id, "package", "accepted", None)
                )
                continue
            self.discrepancies += [
                Discrepancy(package.id, name, str(by_log), str(found))
                for name, by_log, found in package_differences(event, package)
            ]

    def hold(self, delivery_id: str, stored: Mapping[str, str | datetime | None]) -> None:
        """Hold what is said of one delivery against the log."""
        self._held.add(delivery_id)
        state = self.told.get(delivery_id, _Told())
        for name, found in stored.items():
            by_log = getattr(state, name)
            if by_log != found:
                self.discrepancies.append(
                    Discrepancy(delivery_id, name, _text(by_log), _text(found))
                )

    def finish(self) -> None:
        """Everything was held against the log: what it knows besides was removed."""
        for delivery_id, state in self.told.items():
            if delivery_id not in self._held:
                self.discrepancies.append(
                    Discrepancy(delivery_id, "delivery", state.transport, None)
                )


def _text(value: str | datetime | None) -> str | None:
    return value.isoformat() if isinstance(value, datetime) else value
