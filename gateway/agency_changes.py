"""Agencies that a partner registers and removes below its own: what is allowed, what it changes.

Asked when the partner calls and again when an operator approves, because the directory and the
connections may have changed in between. Pure; the caller reads and stores.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta

from adapters.database import AgencyRequest, AgencyRequestState, RequestAction
from envelopes.findings import Sentence
from identifiers.agency import Agency
from identifiers.organ_id import OrganId
from routing.route_table import Connection, RouteTable


@dataclass(frozen=True, slots=True)
class NotAllowed:
    """The partner may not change this agency; nothing was changed."""

    sentence: Sentence


@dataclass(frozen=True, slots=True)
class NothingToDo:
    """The directory says so already."""


def judge_request(
    action: RequestAction,
    code: OrganId,
    name: str,
    connection: Connection,
    routes: RouteTable,
    earlier: list[AgencyRequest],
    today: date,
) -> Agency | NothingToDo | NotAllowed:
    """The agency as it would be, or why it may not be changed.

    `earlier` are the requests about it so far, the oldest first: who removed an agency may register
    it again, and nobody may bring back what the operator closed.
    """
    claimants = routes.directory.claimants(code)
    if len(claimants) > 1:
        return _no(code, "nhiều cơ quan cùng dùng mã này", "several agencies claim this code")
    known = routes.directory.find(code)
    found = routes.connection_of(code)
    if found is None or found[0].id != connection.id or found[1] == "*":
        return _no(
            code,
            "mã không thuộc phạm vi của kết nối này",
            "the code is not below those of this connection",
        )
    if action is RequestAction.REGISTER:
        return _registered(code, name, known, _is_own(code, connection, routes), earlier, today)
    if _is_own(code, connection, routes):
        return _no(
            code, "đây là mã của chính kết nối", "it is the code that the connection itself has"
        )
    if known is None:
        return _no(code, "không có cơ quan nào mang mã này", "no agency has this code")
    if not known.is_active(today):
        return NothingToDo()
    return replace(known, valid_until=today - timedelta(days=1))


def key_of(code: OrganId, routes: RouteTable) -> str:
    """The organ key of the agency that has this code, or will have it."""
    known = routes.directory.find(code)
    return known.organ_id.key if known is not None else code.key


def _registered(
    code: OrganId,
    name: str,
    known: Agency | None,
    own: bool,
    earlier: list[AgencyRequest],
    today: date,
) -> Agency | NothingToDo | NotAllowed:
    if known is None:
        return Agency(code, name)
    if known.is_active(today):
        if known.name == name:
            return NothingToDo()
        if own:
            return _no(
                code,
                f"tên cơ quan là «{known.name}», chỉ người vận hành đổi được",
                f"the agency is called {known.name!r}, which the operator alone can change",
            )
        return replace(known, name=name)
    last = [one for one in earlier if one.state is AgencyRequestState.APPROVED]
    if known.successors or not last or last[-1].action is not RequestAction.REMOVE:
        return _no(
            code,
            "cơ quan đã ngừng hoạt động trong danh bạ",
            "the directory says that the agency is closed",
        )
    return replace(known, name=name, valid_until=None)


def _is_own(code: OrganId, connection: Connection, routes: RouteTable) -> bool:
    return any(routes.directory.same(code, mine) for mine in connection.agencies)


def _no(code: OrganId, vi: str, en: str) -> NotAllowed:
    return NotAllowed(
        Sentence(
            vi=f"Không thể thay đổi cơ quan {code}: {vi}.",
            en=f"Agency {code} cannot be changed: {en}.",
        )
    )
