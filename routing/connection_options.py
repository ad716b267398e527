"""What an operator can set on a connection, whatever its kind; each kind adds its own.

Options are stored as JSON with the connection (`Connection.settings`) and checked against these
models when they are set, so reading them later does not fail.
"""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from routing.route_table import Connection
from schemas.catalogue import profile_names


def _network(value: str) -> str:
    return str(ip_network(value, strict=False))


def _profile(value: str) -> str:
    if value not in profile_names():
        raise ValueError(f"there is no such profile; there are: {', '.join(profile_names())}")
    return value


def _fingerprint(value: str) -> str:
    digest = value.replace(":", "").replace(" ", "").lower()
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise ValueError("write the SHA-256 fingerprint of a certificate: 64 hex digits")
    return digest


Network = Annotated[str, AfterValidator(_network)]
Fingerprint = Annotated[str, AfterValidator(_fingerprint)]


class ConnectionOptions(BaseModel):
    """Options that every connection has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: Annotated[str, AfterValidator(_profile)] = Field(
        "national", description="Profile of rules and office hours."
    )
    gateway: bool = Field(
        False,
        description="The partner is a gateway itself: what comes from it never goes back to it.",
    )
    default_route: bool = Field(
        False,
        description="Known agencies that no other connection serves are reached through this one.",
    )
    allowed_networks: tuple[Network, ...] = Field(
        (),
        description="Networks from which its credentials are accepted. Empty: from anywhere.",
    )
    requests_per_minute: int = Field(
        0, ge=0, le=1_000_000, description="Most requests a minute taken from it. 0: no limit."
    )
    client_certificate: tuple[Fingerprint, ...] = Field(
        (),
        description="SHA-256 fingerprints of certificates; over HTTP its credentials count only "
        "together with one of them (settings tls_client_…). Empty: with any or none.",
    )

    def allows(self, peer: str | None) -> bool:
        """Whether credentials are accepted from this address."""
        if not self.allowed_networks:
            return True
        try:
            address = ip_address(peer or "")
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in ip_network(one) for one in self.allowed_networks)


class HandOverOptions(ConnectionOptions):
    """Options of kinds to which the gateway itself hands packages over."""

    concurrency: int = Field(4, ge=1, le=64, description="Attempts under way at the same time.")
    timeout_seconds: float = Field(
        60.0, ge=0.1, le=3600, description="Longest time one attempt may take."
    )
    attempts_per_minute: int = Field(
        0, ge=0, le=1_000_000, description="Most attempts a minute made to it. 0: no limit."
    )
    breaker_failures: int = Field(
        5, ge=1, le=1000, description="Failures in a row after which it is left alone for a while."
    )
    breaker_seconds: float = Field(
        30.0,
        ge=0.1,
        le=3600,
        description="How long it is first left alone; doubles up to 16 times.",
    )


Options = TypeVar("Options", bound=BaseModel)


def options_of(connection: Connection, model: type[Options]) -> Options:
    """A connection's options as `model`; members of other models are passed over."""
    known = {key: value for key, value in connection.settings.items() if key in model.model_fields}
    return model.model_validate(known)
