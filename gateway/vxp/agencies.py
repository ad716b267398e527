"""Operations on the directory: three lists of agencies, registration and removal.

`getAgenciesList` names agencies by their QCVN 102 code, which is what clients look up and write
into From and To; only who has none stands there by its Decision 20 code. `getAgenciesListQD20` has
Decision 20 codes alone. Old and new are tied by the directory, never by arithmetic below level 1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from aiohttp import web

from adapters.database import (
    AgencyRequest,
    AgencyRequestState,
    AgencyRequestStore,
    RequestAction,
)
from envelopes.findings import Sentence
from envelopes.model import VIETNAM_TIME
from gateway import clock
from gateway.agency_changes import NotAllowed, NothingToDo, judge_request, key_of
from gateway.rest.requests import text_member
from gateway.vxp import answers
from gateway.vxp.call import Call, json_object, refused
from identifiers.agency import Agency
from identifiers.directory import Directory
from identifiers.organ_id import CodeSystem, MalformedOrganId, OrganId
from identifiers.texts import clean

LONGEST_NAME = 500


@dataclass(slots=True)
class AgencyLists:
    """The lists, made once for each version of the registry and day."""

    #: By list: what it was made of, and the answer's bytes.
    _made: dict[str, tuple[tuple[int, date], bytes]] = field(default_factory=dict)

    async def agencies(self, call: Call) -> web.StreamResponse:
        """`getAgenciesList`: QCVN 102 codes, and Decision 20 codes of who has no other."""
        return await self._answer(call, "agencies")

    async def agencies_qd20(self, call: Call) -> web.StreamResponse:
        """`getAgenciesListQD20`: who has a Decision 20 code; the QCVN 102 code beside it."""
        return await self._answer(call, "qd20")

    async def units(self, call: Call) -> web.StreamResponse:
        """`getSynchronizeUnit`: every agency, closed ones too, with when it changed."""
        return await self._answer(call, "units")

    async def _answer(self, call: Call, what: str) -> web.StreamResponse:
        await call.small_body()
        routes = await call.services.registry.routes(newest=True)
        today = clock.now().astimezone(VIETNAM_TIME).date()
        key = (routes.version, today)
        made = self._made.get(what)
        if made is None or made[0] != key:
            store = AgencyRequestStore(call.services.database)
            facts = Facts(
                routes.directory,
                today,
                mails_of(await store.list(AgencyRequestState.APPROVED)),
                await store.changed_at() if what == "units" else {},
                call.services.settings.organ_id,
            )
            made = key, await asyncio.to_thread(_encoded, what, facts)
            self._made[what] = made
        return answers.ready(made[1])


@dataclass(frozen=True, slots=True)
class Facts:
    """What the lists are made of."""

    directory: Directory
    today: date
    #: Organ key to the mail address that was registered.
    mails: Mapping[str, str]
    changed_at: Mapping[str, datetime]
    #: The gateway's own code.
    centre: str


def mails_of(requests: list[AgencyRequest]) -> dict[str, str]:
    """The mail addresses of registered agencies; the last registration counts."""
    return {
        one.organ_key: one.particulars.get("mail", "")
        for one in requests
        if one.action is RequestAction.REGISTER
    }


def agency_items(facts: Facts) -> list[dict[str, Any]]:
    """Lines of `getAgenciesList`."""
    items = []
    for agency in _active(facts):
        old = old_code(agency)
        item = _item(agency, old or agency.organ_id.text, facts)
        items.append({**item, **({"oldCode": old} if old else {})})
    return items


def qd20_items(facts: Facts) -> list[dict[str, Any]]:
    """Lines of `getAgenciesListQD20`."""
    items = []
    for agency in _active(facts):
        old, new = old_code(agency), new_code(agency)
        if new is None:
            # An old code in a list of new ones would be taken for a new one.
            continue
        item = _item(agency, new, facts)
        del item["pid"]
        items.append({**item, **({"code102": old} if old else {})})
    return items


def unit_items(facts: Facts) -> list[dict[str, Any]]:
    """Lines of `getSynchronizeUnit`; `version` grows with every change of the agency."""
    items = []
    for agency in facts.directory:
        changed = facts.changed_at.get(agency.organ_id.key)
        items.append(
            {
                **_item(agency, agency.organ_id.text, facts),
                "version": int(changed.timestamp()) if changed else 0,
                "centerCode": facts.centre,
                "deleted": not agency.is_active(facts.today),
                "modifyDate": answers.moment(changed),
                "isAgency": True,
            }
        )
    return items


def _encoded(what: str, facts: Facts) -> bytes:
    """The whole answer: thousands of agencies take their time."""
    return answers.encoded({**answers.OK, "data": _MAKE[what](facts)})


_MAKE = {"agencies": agency_items, "qd20": qd20_items, "units": unit_items}


def _active(facts: Facts) -> list[Agency]:
    return [agency for agency in facts.directory if agency.is_active(facts.today)]


def _item(agency: Agency, code: str, facts: Facts) -> dict[str, Any]:
    key = agency.organ_id.key
    return {
        "id": key,
        "pid": _parent(agency, facts.directory),
        "code": code,
        "name": agency.name,
        "mail": facts.mails.get(key, ""),
    }


def _parent(agency: Agency, directory: Directory) -> str:
    """The id of the nearest body above that the directory knows; empty at the top."""
    for code in agency.codes:
        for above in code.ancestors():
            found = directory.find(above)
            if found is not None and found is not agency:
                return found.organ_id.key
    return ""


def old_code(agency: Agency) -> str | None:
    """The QCVN 102 code in its four parts; by arithmetic at level 1 alone."""
    written = [code.full for code in agency.codes if code.system is CodeSystem.QCVN_102]
    by_level = [code.full for code in agency.codes if code.full]
    return next(iter((*written, *by_level)), None)


def new_code(agency: Agency) -> str | None:
    """The Decision 20 code; by arithmetic at level 1 alone."""
    for code in agency.codes:
        if code.system is CodeSystem.DECISION_20:
            return code.text
    for code in agency.codes:
        if code.level == 1:
            return code.key
    return None


async def register_agency(call: Call) -> web.StreamResponse:
    """`registerAgency`: an agency below the connection's own, now or once it is approved.

    Its code says where it is. `id` and `pid` are numbers of the client's own database, and only
    written down; a `pcode` that is not above the code is refused.
    """
    told = json_object(await call.small_body())
    if told is None:
        raise refused(
            400,
            Sentence(
                vi="registerAgency cần thân yêu cầu là đối tượng JSON "
                "{id, pid, code, name, mail, mobile, fax}.",
                en="registerAgency needs a JSON object: {id, pid, code, name, mail, mobile, fax}.",
            ),
        )
    told = {name: str(value) if isinstance(value, int) else value for name, value in told.items()}
    name = " ".join(clean(text_member(told, "name")).split())
    if not 0 < len(name) <= LONGEST_NAME:
        raise refused(400, Sentence("Thiếu tên cơ quan (name).", "The agency's name is missing."))
    particulars = {
        member: text_member(told, member)
        for member in ("id", "pid", "pcode", "mail", "mobile", "fax")
        if told.get(member) is not None
    }
    code = _code(text_member(told, "code"), "code")
    if particulars.get("pcode"):
        await _is_above(call, _code(particulars["pcode"], "pcode"), code)
    return await _ask(call, RequestAction.REGISTER, code, name, particulars)


async def delete_agency(call: Call) -> web.StreamResponse:
    """`deleteAgency`: it is closed from today; what is under way to it goes on."""
    await call.small_body()
    code = _code(call.needed("AgencyCode"), "AgencyCode")
    return await _ask(call, RequestAction.REMOVE, code, "", {})


async def _is_above(call: Call, above: OrganId, code: OrganId) -> None:
    """Whether `above` is a body above `code`, by whichever of their codes. Raises `Problem`."""
    directory = (await call.services.registry.routes(newest=True)).directory
    if any(
        directory.same(above, one) for mine in directory.codes_of(code) for one in mine.ancestors()
    ):
        return
    raise refused(
        400,
        Sentence(
            vi=f"pcode {above} không phải cơ quan cấp trên của {code}; hãy sửa code hoặc pcode, "
            "hoặc bỏ pcode.",
            en=f"pcode {above} is not above {code}; mend code or pcode, or leave pcode out.",
        ),
    )


def _code(text: str, name: str) -> OrganId:
    code = OrganId.parse(text)
    if isinstance(code, MalformedOrganId):
        raise refused(
            400,
            Sentence(
                vi=f"{name} «{code.found}»: {code.reason.vi}",
                en=f"{name} {code.found!r}: {code.reason.en}",
            ),
        )
    return code


async def _ask(
    call: Call, action: RequestAction, code: OrganId, name: str, particulars: dict[str, str]
) -> web.StreamResponse:
    store = AgencyRequestStore(call.services.database)
    routes = await call.services.registry.routes(newest=True)
    now = clock.now()
    today = now.astimezone(VIETNAM_TIME).date()
    if action is RequestAction.REMOVE and routes.directory.find(code) is None:
        raise refused(
            404,
            Sentence(
                f"Không có cơ quan nào mang mã {code}.", f"There is no agency of the code {code}."
            ),
        )
    earlier = await store.list(organ_key=key_of(code, routes))
    change = judge_request(action, code, name, call.connection, routes, earlier, today)
    if isinstance(change, NotAllowed):
        raise refused(403, change.sentence)
    if isinstance(change, NothingToDo):
        return answers.good()
    waits = call.caller.options.approve_agencies
    request = AgencyRequest(
        id=clock.new_id(),
        connection_id=call.connection.id,
        action=action,
        organ_key=change.organ_id.key,
        organ_id=code.text,
        name=name or change.name,
        state=AgencyRequestState.PENDING if waits else AgencyRequestState.APPROVED,
        requested_at=now,
        particulars=particulars,
        decided_at=None if waits else now,
        decided_by="" if waits else "gateway",
    )
    actor = f"connection:{call.connection.name}"
    await store.make(request, None if waits else change, actor=actor)
    if waits:
        return answers.good(
            ErrorDesc="Đã ghi nhận yêu cầu; chờ người vận hành trục duyệt. / "
            "The request was recorded and waits for the operator."
        )
    return answers.good()
