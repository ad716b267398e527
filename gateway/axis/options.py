"""What an operator sets on a connection to an axis, and the client made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from adapters.database import SecretStore, SqlDatabase
from adapters.vault import Vault
from adapters.vxp_client import AxisAddress, VxpClient
from adapters.webhook_addresses import Blocked, check_url, networks_of
from gateway import clock
from gateway.partner_secrets import PartnerSecrets
from routing.connection_options import HandOverOptions, Network, options_of
from routing.route_table import Connection

PURPOSE = "axis"


class AxisOptions(HandOverOptions):
    """Options of kind `vxp-axis`."""

    gateway: bool = Field(
        True,
        description="The partner is a gateway itself: what comes from it never goes back to it.",
    )
    url: str = Field(
        description="Base path of its services, e.g. https://…/XrdAdapter/RestService/forward."
    )
    system_id: str = Field(
        min_length=1,
        max_length=100,
        pattern=r"^[\x21-\x7e]+$",
        description="Our id there, often an agency code.",
    )
    dial_networks: tuple[Network, ...] = Field(
        (), description="Networks outside the public internet that may be dialled for it."
    )
    poll_seconds: float = Field(
        15.0, ge=0.05, le=3600, description="Pause between two looks at an empty list."
    )
    directory_seconds: float = Field(
        21_600.0, ge=0, le=604_800, description="Time between two syncs of its directory. 0: none."
    )
    request_seconds: float = Field(
        30.0,
        ge=0.1,
        le=600,
        description="Longest time of a request without a package; of one with a package, how long "
        "nothing may move.",
    )
    timeout_seconds: float = Field(
        300.0, ge=0.1, le=3600, description="Longest time one attempt may take, however large."
    )
    fetch_at_once: int = Field(
        4, ge=1, le=32, description="Packages that are fetched at the same time."
    )
    download: Literal["getEdoc", "downloadEdoc"] = Field(
        "getEdoc", description="Operation that packages are fetched by."
    )
    send_to: Literal["all", "one"] = Field(
        "all",
        description="all: one request names all of a package's recipients there, as toolkits do. "
        "one: a request for each; only for axes that take the same bytes for a further recipient.",
    )
    alarm_after: int = Field(
        5, ge=1, le=1000, description="Failures with one waiting package before an alarm."
    )
    held_codes: tuple[str, ...] = Field(
        (), description="ErrorCodes by which it says that it has a package already."
    )
    later_codes: tuple[str, ...] = Field(
        (), description="ErrorCodes by which it says: not now, or not before a setting is mended."
    )

    @model_validator(mode="after")
    def _address(self) -> Self:
        """An address that could never be dialled is refused when it is set."""
        answer = check_url(self.url, networks_of(self.dial_networks))
        if isinstance(answer, Blocked):
            raise ValueError(f"{answer.sentence.en} (see dial_networks)")
        return self


def axis_options(connection: Connection) -> AxisOptions:
    """The options of an axis connection."""
    return options_of(connection, AxisOptions)


class NoSecret(Exception):
    """The connection has no valid secret: an operator has to give one."""


async def axis_client(secrets: PartnerSecrets, connection: Connection) -> VxpClient:
    """A client of this axis, to be entered. Raises `NoSecret`, `VaultProblem`."""
    valid = await secrets.valid(connection, PURPOSE)
    if not valid:
        raise NoSecret(f"{connection.name} has no valid secret: lienthong connections rotate")
    return client_with(connection, valid[0])


async def client_of_command(
    database: SqlDatabase, key_file: Path, connection: Connection
) -> VxpClient:
    """The same for a command, which has no running gateway behind it."""
    vault, now = Vault.from_file(key_file), clock.now()
    for sealed in await SecretStore(database).all():
        mine = (sealed.connection_id, sealed.purpose) == (connection.id, PURPOSE)
        if mine and sealed.valid_at(now):
            return client_with(connection, vault.open(sealed.sealed))
    raise NoSecret(f"{connection.name} has no valid secret: lienthong connections rotate")


def client_with(connection: Connection, secret: str) -> VxpClient:
    """A client of this axis, to be entered."""
    options = axis_options(connection)
    address = AxisAddress(
        options.url,
        options.system_id,
        secret,
        networks_of(options.dial_networks),
        options.request_seconds,
    )
    return VxpClient(address, clock.now)
