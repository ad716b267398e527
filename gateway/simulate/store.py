"""What a simulated axis holds, and what it heard."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from envelopes.model import VIETNAM_TIME, Code, Document, Party, StatusCode
from envelopes.read import read_package
from gateway import clock
from gateway.simulate.script import AxisScript
from routing.gateway_reports import About, compose_report


@dataclass(slots=True)
class Held:
    """One package on the axis."""

    doc_id: str
    content: bytes
    type: str | None
    sender: str | None
    to: list[str]
    created_time: str | None
    status: str = "INITIAL"
    #: It goes to the client; else it came from there.
    inbound: bool = True
    ready_at: float = 0.0
    title: str = ""
    notation: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One request that was heard."""

    operation: str
    parameters: dict[str, str]
    size: int
    did: str


@dataclass(slots=True)
class Store:
    """Packages and calls."""

    script: AxisScript
    held: dict[str, Held] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    on_call: Callable[[Call], None] | None = None
    _count: int = 0

    def __post_init__(self) -> None:
        """What the script has waiting."""
        for one in self.script.waiting:
            to = [one.to] if one.to else []
            self.put(one.file.read_bytes(), one.type, one.sender, to, one.doc_id, one.created_time)

    def put(
        self,
        content: bytes,
        kind: str | None,
        sender: str | None,
        to: list[str],
        doc_id: str = "",
        created_time: str | None = None,
        *,
        wait: float = 0.0,
    ) -> Held:
        """Let a package wait for the client."""
        doc_id = doc_id or self.new_id()
        at = created_time or shown_time(clock.now())
        self.held[doc_id] = Held(
            doc_id, content, kind, sender, to, at, ready_at=time.monotonic() + wait
        )
        return self.held[doc_id]

    def new_id(self) -> str:
        """The next docId."""
        self._count += 1
        return f"sim-{self._count}"

    def note(self, call: Call) -> None:
        """Remember a call, and tell whoever listens."""
        self.calls.append(call)
        if self.on_call is not None:
            self.on_call(call)

    def waiting(self, message_type: str) -> list[Held]:
        """What the client has not confirmed."""
        now = time.monotonic()
        return [
            one
            for one in self.held.values()
            if one.inbound
            and one.status != "DONE"
            and one.ready_at <= now
            and (one.type or "edoc") == (message_type or one.type or "edoc")
        ]

    def sent(self, message_type: str = "") -> list[Held]:
        """What the client handed over."""
        return [
            one
            for one in self.held.values()
            if not one.inbound and (not message_type or one.type == message_type)
        ]

    def take(self, content: bytes, kind: str, sender: str, to: list[str]) -> Held | None:
        """A package from the client; None when it is here already and that is refused."""
        digest = hashlib.sha256(content).hexdigest()
        known = next(
            (one for one in self.sent() if hashlib.sha256(one.content).hexdigest() == digest), None
        )
        if known is not None and self.script.duplicates != "keep":
            return known if self.script.duplicates == "ok" else None
        held = self.put(content, kind, sender, to)
        held.inbound = False
        package = read_package([content]).package
        if isinstance(package, Document):
            held.title = package.subject
            held.notation = _code(package.code)
            self._reply(package, to)
        return held

    def _reply(self, document: Document, to: list[str]) -> None:
        """Every recipient's reports, as the script has them."""
        for recipient in to:
            for position, reply in enumerate(self.script.replies):
                about = About(
                    sender="",
                    sender_organ_id=document.sender.organ_id,
                    document_pk=None,
                    document_id=document.document_id,
                    code=_code(document.code),
                    promulgation_date=document.promulgation_date,
                )
                content = compose_report(
                    Party(recipient, f"Cơ quan {recipient}"),
                    about,
                    StatusCode(reply.status),
                    reply.reason,
                    clock.now() + timedelta(seconds=position),
                )
                after = reply.after_seconds
                self.put(content, "status", recipient, [document.sender.organ_id], wait=after)


def _code(code: Code) -> str:
    return "/".join(part for part in (code.number, code.notation) if part)


def shown_time(at: datetime) -> str:
    """A time as axes write it in their lists."""
    return at.astimezone(VIETNAM_TIME).strftime("%d/%m/%Y %H:%M:%S")


def received_row(held: Held) -> dict[str, Any]:
    """A line of the list of what waits."""
    return {
        "docId": held.doc_id,
        "serviceType": "eDoc",
        "messageType": held.type,
        "created_time": held.created_time,
        "updated_time": held.created_time,
        "from": held.sender,
        "to": held.to[0] if len(held.to) == 1 else ",".join(held.to) or None,
        "status": held.status,
        "status_desc": held.status,
    }


def sent_rows(held: Held) -> list[dict[str, Any]]:
    """The lines of the list of what was sent: one per recipient."""
    return [
        {
            "serviceType": "eDoc",
            "messageType": held.type,
            "senderDocId": held.doc_id,
            "receiverDocId": f"{held.doc_id}-{number}",
            "fromCode": held.sender,
            "toCode": code,
            "title": held.title,
            "notation": held.notation,
            "sentTime": held.created_time,
            "receivedTime": held.created_time,
            "sendStatus": "DONE",
            "sendStatusDesc": "DONE",
            "receiveStatus": "INITIAL",
            "receiveStatusDesc": "INITIAL",
        }
        for number, code in enumerate(held.to)
    ]
