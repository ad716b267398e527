"""Lines of the event log about an axis itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from gateway import clock
from routing.ports import Transaction, Unavailable
from routing.records import Event
from routing.route_table import Connection

if TYPE_CHECKING:
    from gateway.services import Services

log = structlog.get_logger(__name__)


async def append(
    services: Services, connection: Connection, kind: str, data: dict[str, Any]
) -> None:
    """Append one event; when the database is away it is in the program's log alone."""
    actor = f"connection:{connection.name}"
    event = Event(kind, clock.now(), actor, data={"connection": connection.name, **data})

    async def write(tx: Transaction) -> None:
        await tx.append([event])

    try:
        await services.database.write(write)
    except Unavailable as error:
        log.warning("axis.event-not-kept", type=kind, error=str(error))
