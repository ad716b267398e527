"""What the log says of an accepted package, and the receipt that follows from it.

Tables can be changed by whoever may write in the database; an event is sealed within a minute of
its commit. So the event of the acceptance tells everything that the gateway will later be asked to
sign, receipts are made from it alone, and what a table says otherwise is a difference.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from routing.records import Delivery, Event, PackageRecord

ACCEPTED = "package.accepted"


def accepted_facts(package: PackageRecord, deliveries: Sequence[Delivery]) -> dict[str, Any]:
    """The data of the event `package.accepted`."""
    legal = package.legal_sent_at
    return {
        "kind": package.kind,
        "meaning": package.meaning,
        "version": package.version,
        "digest": package.digest,
        "size": package.size,
        "documentId": package.document_id,
        "subject": package.summary.get("subject"),
        "sender": package.sender_organ_id,
        "senderKey": package.sender,
        "senderName": package.sender_name,
        "recipients": sorted(row.recipient_organ_id for row in deliveries),
        "legalSentAt": utc_text(legal) if legal else None,
        "findings": sorted({finding.rule for finding in package.findings}),
        "signatures": signatures_digest(package.summary),
    }


def signatures_digest(summary: Mapping[str, Any]) -> str | None:
    """SHA-256 of what checking the signatures found when the package came; None: not checked.

    It is written once; looking again later changes deliveries only (`gateway.recheck`).
    """
    found = summary.get("signatures")
    if found is None:
        return None
    # ASCII: names in foreign packages may hold what UTF-8 cannot.
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode("ascii")).hexdigest()


def signatures_as_logged(event: Event, package: PackageRecord) -> bool:
    """Whether what is stored of its signatures is what its acceptance tells, if it tells of them.

    Events of earlier versions do not.
    """
    told = event.data
    return "signatures" not in told or told["signatures"] == signatures_digest(package.summary)


def tells_all(event: Event) -> bool:
    """Whether it is an acceptance that tells everything; events of earlier versions do not."""
    return event.type == ACCEPTED and "recipients" in event.data


def receipt_of(event: Event, gateway: str) -> dict[str, Any]:
    """Who handed in what, when, for whom: what a receipt says, from the event of the acceptance."""
    data = event.data
    same = ("kind", "meaning", "documentId", "version", "sender", "senderName", "size")
    more = ("legalSentAt", "recipients", "findings")
    return {
        "gateway": gateway,
        "package": event.package_id,
        **{name: data[name] for name in (*same, *more)},
        "sha256": data["digest"],
        "receivedAt": utc_text(event.at),
    }


def differences(event: Event, package: PackageRecord, deliveries: Sequence[Delivery]) -> list[str]:
    """What the tables say otherwise than the event; an event of before tells less.

    Recipients may have been added later, when the package was handed in again for more of them.
    """
    found = [name for name, _, _ in package_differences(event, package)]
    there = {row.recipient_organ_id for row in deliveries}
    return found if set(event.data.get("recipients", ())) <= there else [*found, "recipients"]


def package_differences(event: Event, package: PackageRecord) -> list[tuple[str, Any, Any]]:
    """What the stored package says otherwise: the fact, as the log has it, as the table has it."""
    stored = {**accepted_facts(package, ()), "receivedAt": utc_text(package.received_at)}
    del stored["recipients"]
    told = {**event.data, "receivedAt": utc_text(event.at)}
    return [
        (name, told[name], value)
        for name, value in stored.items()
        if name in told and told[name] != value
    ]


def utc_text(moment: datetime) -> str:
    """A moment as events and receipts have it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
