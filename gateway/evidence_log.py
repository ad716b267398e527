"""What a file of evidence says, held against the events in it, which the seals prove.

The manifest and the receipts were made from tables when somebody asked; the events were sealed
within a minute of what they tell of. Where the two differ, the events are right.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from routing.accepted_facts import ACCEPTED, receipt_of, tells_all
from routing.records import DOCUMENT, Event
from routing.replay import Replay

Said = dict[str, Any]


def event_from(said: Said) -> Event:
    """An event out of its text (`routing.seals.event_text`)."""
    return Event(
        type=said["type"],
        at=datetime.fromisoformat(said["at"]),
        actor=said["actor"],
        document_pk=said["documentPk"],
        package_id=said["packageId"],
        delivery_id=said["deliveryId"],
        from_state=said["fromState"],
        to_state=said["toState"],
        correlation_id=said["correlationId"],
        data=said["data"],
        seq=said["seq"],
    )


def differences(events: list[Event], manifest: Said, receipts: Mapping[str, Said]) -> list[str]:
    """Where manifest and receipts (by package) say something else than the log; one line each."""
    return [
        *_deliveries(events, manifest),
        *_packages(events, manifest, receipts),
        *_documents(events, manifest),
    ]


def _deliveries(events: list[Event], manifest: Said) -> list[str]:
    """States and times as the log leads to them; the recipients that it names at the start."""
    replay, recipients, packages = Replay(), dict[str, str](), dict[str, str]()
    for event in events:
        replay.take(event)
        if event.delivery_id is not None and "organId" in event.data:
            recipients.setdefault(event.delivery_id, event.data["organId"])
            packages.setdefault(event.delivery_id, event.package_id or "")
    for row in manifest["deliveries"]:
        at = row["deliveredAt"]
        stored = {
            "transport": row["state"],
            "business": row["businessState"],
            "delivered_at": datetime.fromisoformat(at) if at else None,
        }
        replay.hold(row["id"], stored | ({"change": row["change"]} if "change" in row else {}))
    replay.finish()
    found = [
        f"delivery {one.delivery_id}: {one.what} is {one.found}, and {one.by_log} by the log"
        for one in replay.discrepancies
    ]
    for row in manifest["deliveries"]:
        for name, told in (("recipient", recipients), ("package", packages)):
            if row["id"] in told and told[row["id"]] != row[name]:
                found.append(f"delivery {row['id']}: its {name} is {told[row['id']]} by the log")
    return found


def _packages(events: list[Event], manifest: Said, receipts: Mapping[str, Said]) -> list[str]:
    accepted = {event.package_id: event for event in events if event.type == ACCEPTED}
    found = []
    for package in manifest["packages"]:
        event, receipt = accepted.get(package["id"]), receipts.get(package["id"])
        if event is None or receipt is None:
            # Said already.
            continue
        told = {name: event.data.get(name) for name in ("kind", "meaning", "version", "size")}
        if tells_all(event):
            expected = receipt_of(event, receipt["gateway"])
            found += [
                f"receipt of package {package['id']}: {name} is not what the log says"
                for name in sorted(set(expected) | set(receipt))
                if receipt.get(name) != expected.get(name)
            ]
            told["documentId"] = event.data["documentId"]
        found += [
            f"package {package['id']}: {name} is not what the log says"
            for name, value in told.items()
            if package[name] != value
        ]
    return found


def _documents(events: list[Event], manifest: Said) -> list[str]:
    """Sender and subject are those of the newest package that brought the document."""
    newest = {
        event.document_pk: event
        for event in events
        if tells_all(event) and event.data["kind"] == DOCUMENT
    }
    found = []
    for document in manifest["documents"]:
        event = newest.get(document["pk"])
        if event is None:
            continue
        for name, told in (("sender", "senderKey"), ("subject", "subject")):
            if document[name] != event.data[told]:
                found.append(f"document {document['documentId']}: {name} is not what the log says")
    return found
