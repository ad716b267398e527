"""Connections of kind `vxp` and requests about agencies, as an operator handles them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from adapters.database import (
    AgencyRequest,
    AgencyRequestState,
    AgencyRequestStore,
    RegistryStore,
    RequestAction,
    SecretStore,
    SqlDatabase,
)
from adapters.vault import Vault
from gateway.cli.failures import REFUSED, WRONG_USE
from tests.unit.gateway.cli_runner import Lienthong

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
ADD = ("connections", "add", "tinh", "--kind", "vxp", "--agency", "H41")


def secrets(lienthong: Lienthong) -> list[str]:
    """All stored secrets, opened."""

    async def read(database: SqlDatabase) -> list[str]:
        vault = Vault.from_file(lienthong.data / "secret.key")
        return [vault.open(one.sealed) for one in await SecretStore(database).all()]

    return lienthong.database(read)


def test_a_secret_is_made_and_shown_once(lienthong: Lienthong) -> None:
    """No token; the secret on stdout, sealed in the database."""
    added = lienthong(*ADD, "-o", "system_id=HT-01")
    assert secrets(lienthong) == [added.stdout.strip()]
    shown = lienthong("connections", "show", "tinh").stdout
    assert "HT-01" in shown and added.stdout.strip() not in shown


def test_a_partner_keeps_the_secret_that_it_has(lienthong: Lienthong, tmp_path: Path) -> None:
    """Handed in by file: kept, and not shown; later another one, beside it or instead."""
    file = tmp_path / "secret"
    file.write_text("cu-tu-lau\n", "utf-8")
    added = lienthong.json(*ADD, "-o", "system_id=HT-01", "--secret-file", file)
    assert "secret" not in added and "token" not in added
    assert secrets(lienthong) == ["cu-tu-lau"]
    file.write_text("moi-hon", "utf-8")
    rotate = ("connections", "rotate", "tinh", "--secret")
    empty = tmp_path / "empty"
    empty.write_text("\n", "utf-8")
    lienthong(*rotate, "--secret-file", empty, code=WRONG_USE)
    assert "secret" not in lienthong.json(*rotate, "--secret-file", file)
    made = lienthong.json(*rotate)["secret"]
    assert secrets(lienthong) == [made, "moi-hon", "cu-tu-lau"]


def test_two_systems_have_two_ids(lienthong: Lienthong) -> None:
    """One system id means one connection; it is needed."""
    lienthong(*ADD, "-o", "system_id=HT-01")
    second = ("connections", "add", "bo", "--kind", "vxp", "--agency", "G22")
    told = lienthong(*second, "-o", "system_id=HT-01", code=REFUSED)
    assert "HT-01" in told.stderr and "'tinh'" in told.stderr
    assert "system_id" in lienthong(*second, code=REFUSED).stderr


def ask(lienthong: Lienthong, number: int, action: RequestAction, code: str, name: str) -> None:
    """A request as the partner's call records it."""

    async def make(database: SqlDatabase) -> None:
        (connection,) = (await RegistryStore(database).load()).connections
        request = AgencyRequest(
            f"01a1fe36-0765-738f-a488-{number:012}",
            connection.id,
            action,
            code,
            code,
            name,
            AgencyRequestState.PENDING,
            NOW,
            {"mail": "vt@example.vn"},
        )
        await AgencyRequestStore(database).make(request, None, actor="connection:tinh")

    lienthong.database(make)


def names(lienthong: Lienthong) -> dict[str, str]:
    """The directory."""
    items = lienthong.json("agencies", "list")["items"]
    return {item["organId"]: item["name"] for item in items}


def test_requests_are_listed_approved_and_refused(lienthong: Lienthong) -> None:
    """Only an approved one changes the directory; each is decided once."""
    lienthong(*ADD, "-o", "system_id=HT-01", "--agency-name", "Tỉnh")
    assert "No requests wait" in lienthong("agencies", "requests", "list").stderr
    ask(lienthong, 1, RequestAction.REGISTER, "H41.5", "Sở Y tế")
    ask(lienthong, 2, RequestAction.REGISTER, "H41.6", "Sở Khác")
    listed = lienthong("agencies", "requests", "list").stdout
    assert "Sở Y tế" in listed and "Sở Khác" in listed and "tinh" in listed
    first, second = (one["id"] for one in lienthong.json("agencies", "requests", "list")["items"])
    lienthong("agencies", "requests", "approve", first)
    lienthong("agencies", "requests", "refuse", second, "--note", "mã đã dùng")
    assert names(lienthong) == {"H41": "Tỉnh", "H41.5": "Sở Y tế"}
    for verb in (("approve",), ("refuse", "--note", "x")):
        lienthong("agencies", "requests", verb[0], first, *verb[1:], code=REFUSED)
    ask(lienthong, 3, RequestAction.REMOVE, "H41.5", "")
    third = lienthong.json("agencies", "requests", "list")["items"][0]["id"]
    lienthong("agencies", "requests", "approve", third)
    (closed,) = (
        item for item in lienthong.json("agencies", "list")["items"] if item["organId"] == "H41.5"
    )
    assert closed["validUntil"] is not None
    every = lienthong.json("agencies", "requests", "list", "--all")["items"]
    assert [one["state"] for one in every] == ["approved", "refused", "approved"]
    assert every[1]["note"] == "mã đã dùng" and every[1]["decidedBy"] == "lan"


def test_the_same_request_twice_is_one(lienthong: Lienthong) -> None:
    """A client that asks every hour fills no list; the opposite takes the place of the first."""
    lienthong(*ADD, "-o", "system_id=HT-01")
    for number in (1, 2):
        ask(lienthong, number, RequestAction.REGISTER, "H41.5", "Sở Y tế")
    ask(lienthong, 3, RequestAction.REGISTER, "H41.5", "Sở Y tế và Dân số")
    (waiting,) = lienthong.json("agencies", "requests", "list")["items"]
    assert waiting["name"] == "Sở Y tế và Dân số"
    every = lienthong.json("agencies", "requests", "list", "--all")["items"]
    assert [one["state"] for one in every] == ["refused", "pending"]


def test_an_approval_is_judged_anew(lienthong: Lienthong) -> None:
    """What is no longer below the connection when the operator looks is refused."""
    lienthong(*ADD, "-o", "system_id=HT-01")
    ask(lienthong, 1, RequestAction.REGISTER, "G22.1", "Giả mạo")
    told = lienthong("agencies", "requests", "approve", "01a1fe36", code=REFUSED)
    assert "G22.1" in told.stderr
    assert "G22.1" not in names(lienthong)
    assert json.loads(lienthong("agencies", "requests", "list", "--json").stdout)["items"]
