"""The hashed body, the limits on failures, the lists of agencies of the national axis protocol."""

from __future__ import annotations

import asyncio
import hashlib
import time
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.database import AgencyRequest, AgencyRequestState, RequestAction
from gateway.agency_changes import NotAllowed, NothingToDo, judge_request
from gateway.kinds import KINDS
from gateway.vxp import gate
from gateway.vxp.agencies import Facts, agency_items, mails_of, qd20_items, unit_items
from gateway.vxp.gate import Failures
from gateway.vxp.hashed_body import HashedBody, WrongHash, unpadded
from identifiers.agency import Agency
from identifiers.directory import Directory
from identifiers.organ_id import OrganId
from routing.route_table import Connection, ConnectionStatus, RegistryData, RouteTable

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
TODAY = date(2026, 11, 21)


class Parts:
    """A body that comes in these parts."""

    def __init__(self, parts: list[bytes]) -> None:
        self._parts = [part for part in parts if part]

    async def readany(self) -> bytes:
        """The next one."""
        return self._parts.pop(0) if self._parts else b""


def passed(content: bytes, sizes: list[int], hash_file: str) -> bytes:
    """What goes on of a body that comes in parts of these sizes. Raises `WrongHash`."""
    parts, rest = [], content
    for size in sizes:
        parts.append(rest[:size])
        rest = rest[size:]
    body = HashedBody(Parts([*parts, rest]), hash_file)

    async def read() -> bytes:
        got = b""
        while block := await body.readany():
            got += block
        assert await body.readany() == b""
        return got

    return asyncio.run(read())


sizes = st.lists(st.integers(1, 4), max_size=8)
tails = st.sampled_from([b"", b"\r\n", b"\r", b"\n", b"\r\n\r\n"])


@given(st.binary(min_size=1, max_size=20), tails, sizes, st.booleans(), st.booleans())
def test_the_hashed_bytes_are_what_goes_on(
    start: bytes, tail: bytes, parts: list[int], stray: bool, short: bool
) -> None:
    """However the body is cut, however the hash is written, with a stray CRLF or without."""
    content = start + tail
    digest = hashlib.sha256(content).digest()
    hash_file = unpadded(digest) if short else digest.hex().upper()
    assert passed(content + (b"\r\n" if stray else b""), parts, hash_file) == content


@given(st.binary(min_size=1, max_size=20), sizes, st.sampled_from([b"\n", b"\r\n\r\n", b" ", b"x"]))
def test_anything_else_behind_the_file_is_refused(
    content: bytes, parts: list[int], behind: bytes
) -> None:
    """One CRLF is forgiven, and nothing more."""
    with pytest.raises(WrongHash) as wrong:
        passed(content + behind, parts, hashlib.sha256(content).hexdigest())
    assert wrong.value.found == hashlib.sha256(content + behind).hexdigest()


def test_an_empty_body_is_no_wrong_file() -> None:
    """The intake says that nothing came."""
    assert passed(b"", [], "anything") == b""


async def test_wrong_signatures_wait_and_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first ones are answered at once; later ones wait, others are not looked at meanwhile."""
    monkeypatch.setattr(gate, "SLOW_ANSWER", 0.2)
    failures, caller = Failures(), ("10.0.0.1", "H41")
    start = time.monotonic()
    for _ in range(gate.FREE_FAILURES):
        await failures.note(*caller)
    assert time.monotonic() - start < 0.2
    waiting = [asyncio.ensure_future(failures.note(*caller)) for _ in range(gate.MOST_WAITING)]
    await asyncio.sleep(0)
    assert failures.crowded(*caller)
    assert not failures.crowded("10.0.0.2", "H41")
    assert not failures.crowded("10.0.0.1", "G22")
    await asyncio.gather(*waiting)
    assert not failures.crowded(*caller)


async def test_one_subscriber_is_slowed_down_whatever_its_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who has a /64 of IPv6 addresses is one caller, with a new address for each guess."""
    monkeypatch.setattr(gate, "SLOW_ANSWER", 0.2)
    failures = Failures()
    for number in range(gate.FREE_FAILURES):
        await failures.note(f"2001:db8::{number:x}", "H41")
    late = [
        asyncio.ensure_future(failures.note(f"2001:db8::ffff:{number:x}", "H41"))
        for number in range(gate.MOST_WAITING)
    ]
    await asyncio.sleep(0)
    assert failures.crowded("2001:db8::abcd", "H41")
    assert not failures.crowded("2001:db8:0:1::1", "H41")
    await asyncio.gather(*late)


# --- agencies -------------------------------------------------------------------------------------

PROVINCE = Agency(OrganId.of("000.00.00.H41"), "UBND tỉnh")
OFFICE = Agency(OrganId.of("H41.13"), "Sở Nội vụ", (OrganId.of("000.01.13.H41"),))
OLD_ONLY = Agency(OrganId.of("000.02.13.H41"), "Phòng cũ")
CLOSED = Agency(OrganId.of("H41.99"), "Đã đóng", valid_until=date(2025, 6, 30))
DIRECTORY = Directory([PROVINCE, OFFICE, OLD_ONLY, CLOSED])
FACTS = Facts(DIRECTORY, TODAY, {"H41.13": "nv@example.vn"}, {"H41.13": NOW}, "TRUC")


def test_every_list_names_an_agency_as_its_readers_do() -> None:
    """The old code where there is one; the new ones alone with code102; both never invented."""
    plain = {item["name"]: item for item in agency_items(FACTS)}
    assert set(plain) == {"UBND tỉnh", "Sở Nội vụ", "Phòng cũ"}
    assert plain["Sở Nội vụ"]["code"] == "000.01.13.H41"
    assert plain["Sở Nội vụ"]["oldCode"] == "000.01.13.H41"
    assert plain["Sở Nội vụ"]["mail"] == "nv@example.vn"
    assert plain["UBND tỉnh"]["oldCode"] == plain["UBND tỉnh"]["code"] == "000.00.00.H41"
    assert plain["UBND tỉnh"]["pid"] == ""
    assert plain["Sở Nội vụ"]["pid"] == plain["UBND tỉnh"]["id"]
    new = {item["name"]: item for item in qd20_items(FACTS)}
    assert (new["UBND tỉnh"]["code"], new["UBND tỉnh"]["code102"]) == ("H41", "000.00.00.H41")
    assert (new["Sở Nội vụ"]["code"], new["Sở Nội vụ"]["code102"]) == ("H41.13", "000.01.13.H41")
    assert "Phòng cũ" not in new
    units = {item["name"]: item for item in unit_items(FACTS)}
    assert [units[name]["deleted"] for name in ("Sở Nội vụ", "Đã đóng")] == [False, True]
    assert units["Sở Nội vụ"]["version"] == int(NOW.timestamp())
    assert units["Sở Nội vụ"]["modifyDate"] == "2026/11/21 15:00:00"
    for item in (*plain.values(), *new.values(), *units.values()):
        assert None not in item.values()


def table(*more: Connection, agencies: tuple[Agency, ...] = DIRECTORY.agencies) -> RouteTable:
    """A route table with the province's connection and others."""
    return RouteTable(RegistryData(1, agencies, (MINE, *more), ()))


def _connection(name: str, *codes: str, **settings: object) -> Connection:
    ids = tuple(OrganId.of(code) for code in codes)
    return Connection(name, name, "vxp", ConnectionStatus.ACTIVE, ids, NOW, settings)


MINE = _connection("tinh", "H41")


def asked(
    action: RequestAction,
    code: str,
    name: str = "Tên",
    routes: RouteTable | None = None,
    earlier: list[AgencyRequest] | None = None,
    connection: Connection = MINE,
) -> Agency | NothingToDo | NotAllowed:
    """The judgement on one request."""
    return judge_request(
        action, OrganId.of(code), name, connection, routes or table(), earlier or [], TODAY
    )


def test_what_a_partner_may_register() -> None:
    """New ones below its own, and new names for them; nothing else."""
    register = RequestAction.REGISTER
    for code in ("H41.50", "H41.13.7", "000.00.50.H41", "000.05.13.H41"):
        assert asked(register, code) == Agency(OrganId.of(code), "Tên")
    assert asked(register, "000.01.13.H41", "Sở Nội vụ") == NothingToDo()
    renamed = asked(register, "H41.13", "Sở Nội vụ mới")
    assert isinstance(renamed, Agency) and renamed.name == "Sở Nội vụ mới"
    assert renamed.aliases == OFFICE.aliases
    assert asked(register, "H41", "UBND tỉnh") == NothingToDo()
    for code in ("H41", "G22", "G22.1", "000.00.01.G22", "0101243150"):
        assert isinstance(asked(register, code, "Khác"), NotAllowed), code


def test_the_default_route_gives_no_right_to_register() -> None:
    """Agencies that nobody serves are not below a connection that everything else goes through."""
    default = _connection("truc", default_route=True)
    routes = table(default)
    answer = asked(RequestAction.REGISTER, "G22.5", routes=routes, connection=default)
    assert isinstance(answer, NotAllowed)


def test_what_another_connection_serves_is_its_own() -> None:
    """Below the province, yet another software's: neither registered nor removed by the first."""
    other = _connection("so", "H41.13")
    for action in RequestAction:
        assert isinstance(asked(action, "H41.13.1", routes=table(other)), NotAllowed)
        assert isinstance(asked(action, "000.01.13.H41", routes=table(other)), NotAllowed)


def test_what_a_partner_may_remove() -> None:
    """What is below its own and known; twice is once; never itself."""
    remove = RequestAction.REMOVE
    closed = asked(remove, "000.01.13.H41")
    assert isinstance(closed, Agency) and closed.organ_id == OFFICE.organ_id
    assert not closed.is_active(TODAY)
    assert asked(remove, "H41.99") == NothingToDo()
    for code in ("H41", "000.00.00.H41", "H41.1234", "G22"):
        assert isinstance(asked(remove, code), NotAllowed), code


def test_who_removed_an_agency_may_bring_it_back_and_nobody_else() -> None:
    """What the operator closed, or what merged into another, stays closed."""
    register = RequestAction.REGISTER

    def removal(state: AgencyRequestState, action: RequestAction) -> AgencyRequest:
        return AgencyRequest("1", "tinh", action, "H41.99", "H41.99", "Đã đóng", state, NOW)

    approved, removed = AgencyRequestState.APPROVED, RequestAction.REMOVE
    back = asked(register, "H41.99", earlier=[removal(approved, removed)])
    assert isinstance(back, Agency) and back.is_active(TODAY)
    for earlier in (
        [],
        [removal(AgencyRequestState.REFUSED, removed)],
        [removal(approved, removed), removal(approved, register)],
    ):
        assert isinstance(asked(register, "H41.99", earlier=earlier), NotAllowed)
    merged = Agency(CLOSED.organ_id, "Đã đóng", (), None, CLOSED.valid_until, (PROVINCE.organ_id,))
    routes = table(agencies=(PROVINCE, merged))
    answer = asked(register, "H41.99", routes=routes, earlier=[removal(approved, removed)])
    assert isinstance(answer, NotAllowed)


def test_a_disputed_code_is_nobodys() -> None:
    """Two agencies claim it: the operator settles that first."""
    rivals = tuple(
        Agency(OrganId.of(code), code, (OrganId.of("H41.77"),)) for code in ("H41.1", "H41.2")
    )
    routes = table(agencies=(PROVINCE, *rivals))
    assert isinstance(asked(RequestAction.REGISTER, "H41.77", routes=routes), NotAllowed)


def test_mails_come_from_the_last_registration() -> None:
    """Removals say nothing of mail addresses."""
    requests = [
        AgencyRequest(
            str(number),
            "tinh",
            action,
            "H41.1",
            "H41.1",
            "A",
            AgencyRequestState.APPROVED,
            NOW,
            {"mail": mail} if mail else {},
        )
        for number, (action, mail) in enumerate(
            [
                (RequestAction.REGISTER, "a@x"),
                (RequestAction.REMOVE, ""),
                (RequestAction.REGISTER, "b@x"),
            ]
        )
    ]
    assert mails_of(requests) == {"H41.1": "b@x"}


@pytest.mark.parametrize("wrong", ["", " x", "hệ thống", "a\nb", "x" * 101])
def test_system_ids_travel_in_headers(wrong: str) -> None:
    """What no header can carry is no system id."""
    with pytest.raises(ValueError, match="system_id"):
        KINDS["vxp"].options.model_validate({"system_id": wrong})
