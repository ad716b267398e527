"""Kind `vxp-axis`: the national axis or a provincial one, spoken to by its own protocol.

The gateway is the axis' client: it polls the axis' list, sends what routes there, and keeps the
directory of agencies in step (`gateway.axis`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.axis.options import PURPOSE, AxisOptions
from gateway.kinds.base import Intake, Kind, Secret, Way
from routing.deliver import Partner
from routing.route_table import Connection

if TYPE_CHECKING:
    from gateway.services import Services


def _partner(services: Services) -> Partner:
    from gateway.axis.partner import AxisPartner

    return AxisPartner(services)


def _intake(services: Services, connection: Connection) -> Intake:
    from gateway.axis.poller import AxisIntake

    return AxisIntake(services, connection)


KIND = Kind(
    name="vxp-axis",
    summary="An axis that the gateway polls and sends to by the national axis protocol.",
    way=Way.ATTEMPTS,
    options=AxisOptions,
    has_token=False,
    secret=Secret(PURPOSE, given=True),
    partner=_partner,
    intake=_intake,
)
