"""Why a delivery does not move: told from its row and its connection, even while nothing runs.

For operators: `lienthong deliveries`, `trace` and `status` show it. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from envelopes.findings import Sentence
from envelopes.model import VIETNAM_TIME
from routing.records import Delivery
from routing.route_table import Connection, ConnectionStatus
from routing.states import TransportState

#: A due doorbell or a waiting package is nobody's work after this long.
STALE = timedelta(seconds=60)

_STOPPED = {
    ConnectionStatus.SUSPENDED.value: Sentence("đang tạm dừng", "is suspended"),
    "paused": Sentence("đang tạm ngừng nhận", "is paused"),
    "draining": Sentence("đang ngừng dần", "is draining"),
}
#: States in which the gateway, and not the recipient or an operator, has the next step.
_OURS = (TransportState.ACCEPTED, TransportState.QUEUED, TransportState.UNKNOWN)
#: States that somebody's decision ends, whatever the connection does.
_DECIDED = (TransportState.HELD, TransportState.DEAD)


def stopped(connection: Connection) -> Sentence | None:
    """That a connection is not served as usual; None when it is."""
    words = _STOPPED.get(connection.status.value)
    if words is None:
        return None
    return Sentence(
        vi=f"Kết nối «{connection.name}» {words.vi}: văn bản gửi tới đó phải chờ.",
        en=f"Connection “{connection.name}” {words.en}: what is addressed to it waits.",
    )


def why_waiting(
    delivery: Delivery, connections: Mapping[str, Connection], now: datetime
) -> Sentence | None:
    """What keeps a delivery; None when nothing does, or when its state says it."""
    if delivery.state.is_final or delivery.state in _DECIDED:
        return None
    connection = connections.get(delivery.connection_id or "")
    rests = stopped(connection) if connection is not None else None
    if rests is not None:
        return rests
    return _not_relayed(delivery, now) or _not_taken(delivery, now)


def _not_relayed(delivery: Delivery, now: datetime) -> Sentence | None:
    """The broker does not take its doorbell, or no relay rings it."""
    ring_at = delivery.ring_at
    if delivery.state not in _OURS or ring_at is None:
        return None
    if delivery.ring_failures:
        count, at = delivery.ring_failures, _clock(ring_at)
        return Sentence(
            vi=f"Broker không nhận tin báo (đã thử {count} lần), thử lại lúc {at}: "
            "kiểm tra RabbitMQ.",
            en=f"The broker does not take its doorbell (tried {count} times), again at {at}: "
            "look after RabbitMQ.",
        )
    if now - ring_at > STALE:
        return Sentence(
            vi=f"Chưa được chuyển cho broker từ {_clock(ring_at)}: vai trò relay có đang chạy "
            "không, broker có hoạt động không?",
            en=f"Not told to the broker since {_clock(ring_at)}: does a relay run, and is the "
            "broker there?",
        )
    return None


def _not_taken(delivery: Delivery, now: datetime) -> Sentence | None:
    """It is in the broker and nobody takes it."""
    waits = delivery.state is TransportState.QUEUED and delivery.ring_at is None
    if not waits or now - delivery.updated_at <= STALE:
        return None
    return Sentence(
        vi=f"Nằm trong hàng đợi từ {_clock(delivery.updated_at)}: vai trò worker có đang chạy "
        "không, broker có hoạt động không?",
        en=f"In the queue since {_clock(delivery.updated_at)}: does a worker run, and is the "
        "broker there?",
    )


def _clock(at: datetime) -> str:
    return at.astimezone(VIETNAM_TIME).strftime("%d/%m %H:%M:%S")
