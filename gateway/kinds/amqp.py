"""Kind `amqp`: the partner's software publishes to and consumes from its own queues in RabbitMQ.

``lienthong connections add`` makes the partner's user, permissions, exchange and queues; the user's
password is the secret that is shown once. The page for partners is ``docs/connect-amqp.md``, the
messages are told in ``docs/asyncapi.yaml``.

*Delivered* means that the partner said so by a receipt, because the time limits of its agency run
from then (`delivered_by=receipt`). With `delivered_by=confirm` the broker's confirm is enough: the
partner's own durable queue has the package; a receipt is welcome all the same.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pydantic import Field
from yarl import URL

from adapters.amqp_partner.names import Names
from gateway.kinds.base import Intake, Kind, Secret, Unprovided, Way
from identifiers.texts import fold
from routing.connection_options import HandOverOptions
from routing.deliver import Partner
from routing.route_table import Connection

if TYPE_CHECKING:
    from gateway.services import Services
    from gateway.settings import Settings

NAME = "amqp"
PURPOSE = "amqp"
_LONGEST_SLUG = 30


class DeliveredBy(StrEnum):
    """What counts as delivered."""

    #: The partner's receipt.
    RECEIPT = "receipt"
    #: The broker's confirm: it is in the partner's queue.
    CONFIRM = "confirm"


class AmqpOptions(HandOverOptions):
    """Options of kind `amqp`."""

    concurrency: int = Field(
        16, ge=1, le=64, description="Packages published and waiting for a receipt at once."
    )
    delivered_by: DeliveredBy = Field(
        DeliveredBy.RECEIPT,
        description="receipt: delivered when the partner says so; confirm: when its queue has it.",
    )
    inline_kib: int = Field(
        1024,
        ge=1,
        le=8192,
        description="Packages up to this many KiB travel in messages, larger ones as claim checks.",
    )
    claim_minutes: int = Field(
        60, ge=1, le=1440, description="How long the address in a claim check is good."
    )


def user_of(connection: Connection) -> str:
    """The partner's user in RabbitMQ; no two connections have the same, however they are named."""
    slug = re.sub(r"[^a-z0-9]+", "-", fold(connection.name)).strip("-")[:_LONGEST_SLUG].strip("-")
    return f"lt-{slug or 'partner'}-{connection.id[-8:]}"


def names_of(settings: Settings, connection: Connection) -> Names:
    """The partner's exchange and queues."""
    return Names(settings.broker_prefix, user_of(connection))


def vhost_of(url: str) -> str:
    """The virtual host that an AMQP address names."""
    return unquote(URL(url).raw_path.removeprefix("/")) or "/"


def own_user(settings: Settings) -> str:
    """The gateway's own user: RabbitMQ refuses a message that names another."""
    return URL(settings.broker_url).user or "guest"


def admin_url(settings: Settings) -> str:
    """The management API: as set, or on the broker's host with the broker's user."""
    broker = URL(settings.broker_url)
    if settings.broker_admin_url:
        given = URL(settings.broker_admin_url)
        return str(
            given if given.user else given.with_user(broker.user).with_password(broker.password)
        )
    address = URL.build(scheme="http", host=broker.host or "", port=15672)
    return str(address.with_user(broker.user).with_password(broker.password))


async def provide(settings: Settings, connection: Connection, secret: str) -> list[str]:
    """Make or mend exchange, queues and permissions; with a secret also the user's password.

    Raises `Unprovided`.
    """
    from adapters.rabbitmq_admin import AdminProblem, RabbitMqAdmin

    if settings.embedded_broker:
        raise Unprovided(
            "Kind amqp needs RabbitMQ: the broker inside the gateway has no queues for partners. "
            "Set broker_url to amqp://…"
        )
    names = names_of(settings, connection)
    vhost = vhost_of(settings.broker_url)
    try:
        async with RabbitMqAdmin(admin_url(settings), vhost) as admin:
            await admin.prepare_partner(names, secret)
    except AdminProblem as problem:
        raise Unprovided(str(problem)) from None
    lines = [
        f"In RabbitMQ, virtual host {vhost!r}, the partner has",
        f"  user      {names.user}",
        f"  publishes {names.intake} (exchange)",
        f"  consumes  {names.inbox_urgent}, {names.inbox}, {names.answers}",
    ]
    return lines


def _partner(services: Services) -> Partner:
    from gateway.amqp_hand_over import QueuePartner

    return QueuePartner(services)


def _intake(services: Services, connection: Connection) -> Intake:
    from gateway.amqp_intake import PartnerIntake

    return PartnerIntake(services, connection)


KIND = Kind(
    name=NAME,
    summary="RabbitMQ: its software publishes to and consumes from queues of its own.",
    way=Way.ATTEMPTS,
    options=AmqpOptions,
    has_token=False,
    # RabbitMQ knows one password of a user.
    secret=Secret(PURPOSE, overlaps=False),
    partner=_partner,
    intake=_intake,
    # Every process consumes; the broker picks one at a time (single active consumer).
    intake_alone=False,
    provide=provide,
)
