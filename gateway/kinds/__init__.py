"""Kinds of connections: how a partner's software is spoken to. One module per kind, one list here.

A kind says which options it has, what secret is shared, and how packages get there: into an inbox
that the partner reads (`Way.INBOX`), or by attempts that the gateway makes (`Way.ATTEMPTS`). Some
also take packages in by themselves (`Kind.intake`): by polling, consuming or watching.
"""

from gateway.kinds import amqp, amqp_axis, folder, pull, push, vxp, vxp_axis
from gateway.kinds.base import Intake, Kind, Secret, Way

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        pull.KIND,
        push.KIND,
        folder.KIND,
        vxp.KIND,
        vxp_axis.KIND,
        amqp.KIND,
        amqp_axis.KIND,
    )
}

__all__ = ["KINDS", "Intake", "Kind", "Secret", "Way"]
