"""Kind `amqp-axis`: another gateway's RabbitMQ, which we join as its partner of kind `amqp`.

The operator of the other gateway adds us (``connections add --kind amqp -o gateway=true``) and
gives us the user and its password, which is the secret of this connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field
from yarl import URL

from adapters.amqp_partner.names import Names
from gateway.kinds.base import Intake, Kind, Secret, Way
from routing.connection_options import HandOverOptions
from routing.deliver import Partner
from routing.route_table import Connection

if TYPE_CHECKING:
    from gateway.services import Services

NAME = "amqp-axis"
PURPOSE = "amqp"


def _address(schemes: tuple[str, ...]) -> AfterValidator:
    def check(value: str) -> str:
        url = URL(value)
        if url.scheme not in schemes or not url.host:
            raise ValueError(f"write it as {schemes[0]}://HOST:PORT/…")
        if url.user or url.password:
            raise ValueError("no user and no password in the address")
        return value.rstrip("/") if schemes[0].startswith("http") else value

    return AfterValidator(check)


class AxisOptions(HandOverOptions):
    """Options of kind `amqp-axis`."""

    gateway: bool = Field(
        True,
        description="The partner is a gateway itself: what comes from it never goes back to it.",
    )
    concurrency: int = Field(
        16, ge=1, le=64, description="Packages published and waiting for an answer at once."
    )
    url: Annotated[str, _address(("amqp", "amqps"))] = Field(
        description="Address of its RabbitMQ: amqp://HOST:5672/VHOST, amqps:// with TLS."
    )
    user: str = Field(description="Our user there.", pattern=r"^[A-Za-z0-9._-]{1,80}$")
    names_prefix: str = Field(
        "lienthong",
        description="What its exchanges and queues begin with (its broker_prefix).",
        pattern=r"^[A-Za-z0-9._-]{1,60}$",
    )
    gateway_url: Annotated[str, _address(("http", "https"))] = Field(
        description="Its own address, for packages above the inline limit: https://HOST."
    )
    inline_kib: int = Field(
        1024,
        ge=1,
        le=8192,
        description="Packages up to this many KiB travel in messages, larger ones by HTTP.",
    )


def names_of(options: AxisOptions) -> Names:
    """Our exchange and queues there."""
    return Names(options.names_prefix, options.user)


def address_of(options: AxisOptions, secret: str) -> str:
    """The address with user and password."""
    return str(URL(options.url).with_user(options.user).with_password(secret))


def _partner(services: Services) -> Partner:
    from gateway.amqp_hand_over import AxisPartner

    return AxisPartner(services)


def _intake(services: Services, connection: Connection) -> Intake:
    from gateway.amqp_axis_intake import AxisIntake

    return AxisIntake(services, connection)


KIND = Kind(
    name=NAME,
    summary="The RabbitMQ of another gateway, which we join as its partner of kind amqp.",
    way=Way.ATTEMPTS,
    options=AxisOptions,
    has_token=False,
    secret=Secret(PURPOSE, given=True),
    unique=("user",),
    partner=_partner,
    intake=_intake,
    intake_alone=False,
)
