"""Kind `pull`: the partner's software uses the REST API for everything."""

from __future__ import annotations

from gateway.kinds.base import Kind, Way
from routing.connection_options import ConnectionOptions

KIND = Kind(
    name="pull",
    summary="The REST API: it submits, and lists, fetches and confirms its inbox.",
    way=Way.INBOX,
    options=ConnectionOptions,
)
