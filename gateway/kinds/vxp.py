"""Kind `vxp`: the partner's software speaks the national axis protocol and points it at us.

Who it is, is told by its system id and the secret behind its signatures. The secret is made here,
or the partner's present one is handed in, so that software that moves over keeps its settings.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from gateway.kinds.base import Kind, Secret, Way
from routing.connection_options import ConnectionOptions

#: Name of the kind, and of the purpose under which its secrets are kept.
VXP = "vxp"


def _system_id(value: str) -> str:
    if not value.isascii() or not value.isprintable() or value != value.strip():
        raise ValueError("printable ASCII without spaces around it: it travels in a header")
    return value


class VxpOptions(ConnectionOptions):
    """Options of kind `vxp`."""

    system_id: Annotated[str, AfterValidator(_system_id)] = Field(
        min_length=1,
        max_length=100,
        description="The client's id (XroadVnpt-systemid), often its agency code.",
    )
    tolerance_seconds: int = Field(
        900,
        ge=0,
        le=10_000_000,
        description="How far its timestamps may be from our time. 0: they are not looked at, for "
        "clients that keep one for ever; whoever recorded a request can then repeat it.",
    )
    approve_agencies: bool = Field(
        False,
        description="Agencies that it registers or removes wait for the operator: "
        "lienthong agencies requests.",
    )
    list_limit: int = Field(
        1000, ge=1, le=10_000, description="Most lines of one received or sent list."
    )


KIND = Kind(
    name=VXP,
    summary="The national axis protocol: its software keeps working with our address.",
    way=Way.INBOX,
    options=VxpOptions,
    has_token=False,
    secret=Secret(VXP, may_be_given=True),
    unique=("system_id",),
)

__all__ = ["KIND", "VXP", "VxpOptions"]
