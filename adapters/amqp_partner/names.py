"""Names of a partner's exchange and queues, how they are made, and what its user may do.

For the prefix ``lienthong`` and the user ``lt-nghe-an-1a2b3c4d``, `base` being
``lienthong.amqp.lt-nghe-an-1a2b3c4d``::

    partner ── publishes ──▶ <base>.intake (fanout) ──▶ <base>.intake ──▶ gateway
    gateway ──▶ <base>.answers, <base>.inbox, <base>.inbox.urgent ──▶ partner
    dead letters of all of them ──▶ <base>.dead ──▶ an operator

The user may write to the intake exchange and read its three queues, nothing else. It may not write
to the default exchange, which leads to every queue there is. Urgent packages have a queue of their
own because quorum queues know no priorities (RabbitMQ 3.10).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

MIB = 1024 * 1024
#: Deliveries of one message before the broker dead-letters it: high, because every lost connection
#: counts as one.
DELIVERY_LIMIT = 100
#: Messages that may wait in a queue; then the broker refuses more, and the sender waits.
LONGEST_QUEUE = 100_000
#: The same in bytes: what a partner that is away may cost the broker.
LARGEST_QUEUE = 1024 * MIB


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable quorum queue and its arguments."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Names:
    """What belongs to one partner in the broker."""

    prefix: str
    user: str

    @property
    def base(self) -> str:
        """What all its names begin with."""
        return f"{self.prefix}.amqp.{self.user}"

    @property
    def intake(self) -> str:
        """Exchange that the partner publishes to, and the queue behind it."""
        return f"{self.base}.intake"

    @property
    def inbox(self) -> str:
        """Queue of packages for the partner."""
        return f"{self.base}.inbox"

    @property
    def inbox_urgent(self) -> str:
        """Queue of urgent packages for the partner."""
        return f"{self.base}.inbox.urgent"

    @property
    def answers(self) -> str:
        """Queue of the gateway's answers to the partner's messages."""
        return f"{self.base}.answers"

    @property
    def dead(self) -> str:
        """Queue of messages that nobody can read, for an operator."""
        return f"{self.base}.dead"

    @property
    def may_write(self) -> str:
        """Pattern of what the user may write to."""
        return f"^{re.escape(self.intake)}$"

    @property
    def may_read(self) -> str:
        """Pattern of what the user may read from."""
        queues = (self.inbox, self.inbox_urgent, self.answers)
        return f"^({'|'.join(re.escape(name) for name in queues)})$"

    def queues(self) -> tuple[Queue, ...]:
        """All queues, the dead-letter queue first: the others refer to it."""
        quorum: dict[str, Any] = {"x-queue-type": "quorum"}
        bounded = {
            **quorum,
            "x-max-length": LONGEST_QUEUE,
            "x-max-length-bytes": LARGEST_QUEUE,
            # Refused rather than dropped: who publishes learns of it and tries again.
            "x-overflow": "reject-publish",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": self.dead,
            "x-dead-letter-strategy": "at-least-once",
        }
        return (
            Queue(self.dead, {**quorum, "x-max-length": LONGEST_QUEUE, "x-overflow": "drop-head"}),
            # One process at a time takes in, so the partner's order is kept; another follows it.
            Queue(self.intake, {**bounded, "x-single-active-consumer": True}),
            Queue(self.inbox, bounded),
            Queue(self.inbox_urgent, bounded),
            Queue(self.answers, bounded),
        )
