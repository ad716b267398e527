"""What a kind of connection is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from gateway.new_secret import new_secret
from routing.connection_options import ConnectionOptions
from routing.deliver import Partner
from routing.route_table import Connection

if TYPE_CHECKING:
    from gateway.services import Services
    from gateway.settings import Settings


class Way(StrEnum):
    """How packages get to the partner."""

    #: It lists, fetches and confirms.
    INBOX = "inbox"
    #: The gateway makes attempts, written down before and after.
    ATTEMPTS = "attempts"


class Intake(Protocol):
    """Takes packages in from one connection, by itself, in the worker role."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set; a round that fails is logged and tried again."""


@dataclass(frozen=True, slots=True)
class Secret:
    """What is shared with the partner, sealed in the database."""

    #: The name under which `PartnerSecrets.valid` gives it.
    purpose: str
    #: Made by the partner and handed to us (read from a file), instead of made here and shown once.
    given: bool = False
    #: Made here, unless the operator hands in the one that the partner has already.
    may_be_given: bool = False
    #: Whether an old one still works for a while when it is rotated.
    overlaps: bool = True
    #: How one is made here.
    make: Callable[[], str] = new_secret


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of connection."""

    name: str
    #: One line for ``lienthong connections add --help``.
    summary: str
    way: Way
    options: type[ConnectionOptions]
    #: Whether the connection gets a bearer token for the REST API.
    has_token: bool = True
    secret: Secret | None = None
    #: Options that no two connections of the kind may have alike.
    unique: tuple[str, ...] = ()
    #: Makes the partner that attempts go through (`Way.ATTEMPTS`).
    partner: Callable[[Services], Partner] | None = None
    #: Makes the intake of one connection.
    intake: Callable[[Services, Connection], Intake] | None = None
    #: Whether only one process at a time may run the intake of a connection.
    intake_alone: bool = True
    #: Prepares the outside world for a new, changed or rotated connection (queues, users, folders):
    #: settings, connection, secret → lines for the operator. Raises `Unprovided`.
    provide: Callable[[Settings, Connection, str], Awaitable[list[str]]] | None = None


class Unprovided(Exception):
    """The outside world could not be prepared for a connection; the text says what and why."""
