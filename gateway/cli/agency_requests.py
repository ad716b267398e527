"""`lienthong agencies requests …`: agencies that partners registered or removed, for approval."""

from __future__ import annotations

from typing import Any

import click

from adapters.database import AgencyRequest, AgencyRequestState, AgencyRequestStore, RequestAction
from envelopes.model import VIETNAM_TIME
from gateway import clock
from gateway.agency_changes import NotAllowed, NothingToDo, judge_request
from gateway.cli.context import State, json_option, operator_option, pass_state
from gateway.cli.failures import refuse
from gateway.cli.output import print_json, print_table, say, sentence, show
from gateway.cli.session import Session, open_session
from gateway.rest.encode import time_of
from identifiers.agency import Agency
from identifiers.organ_id import OrganId


@click.group(short_help="Agencies that partners registered or removed.")
def requests() -> None:
    """What partners asked to change in the directory, below the codes of their connection."""


@requests.command("list")
@click.option("--all", "everything", is_flag=True, help="Decided ones, too.")
@json_option
@pass_state
async def list_(state: State, everything: bool, as_json: bool) -> None:
    """Requests that wait for an operator, the oldest first."""
    async with open_session(state.settings) as session:
        wanted = None if everything else AgencyRequestState.PENDING
        rows = [
            _as_dict(session, one)
            for one in await AgencyRequestStore(session.database).list(wanted)
        ]
    if as_json:
        print_json({"items": rows})
        return
    if not rows:
        say("No requests." if everything else "No requests wait.")
        return
    print_table(
        ("id", "connection", "action", "agency", "name", "state", "asked"),
        (
            (
                row["id"],
                row["connection"],
                row["action"],
                row["organId"],
                row["name"],
                row["state"],
                row["requestedAt"],
            )
            for row in rows
        ),
    )


@requests.command()
@click.argument("request_id", metavar="ID")
@click.option("--note", default="", help="Written down with the decision.")
@json_option
@operator_option
@pass_state
async def approve(state: State, request_id: str, note: str, as_json: bool, operator: str) -> None:
    """Change the directory as request ID asks; running gateways follow within a second."""
    async with open_session(state.settings) as session:
        store = AgencyRequestStore(session.database)
        request = await _pending(store, request_id)
        change = await _change(session, store, request)
        if isinstance(change, NotAllowed):
            refuse(sentence(change.sentence, state.language))
        done = await store.decide(request, change, note=note, operator=operator, now=clock.now())
    _tell(done, request, "approved", as_json)


@requests.command("refuse")
@click.argument("request_id", metavar="ID")
@click.option("--note", required=True, help="Why; written down with the decision.")
@json_option
@operator_option
@pass_state
async def refuse_(state: State, request_id: str, note: str, as_json: bool, operator: str) -> None:
    """Leave the directory as it is."""
    async with open_session(state.settings) as session:
        store = AgencyRequestStore(session.database)
        request = await _pending(store, request_id)
        done = await store.decide(request, None, note=note, operator=operator, now=clock.now())
    _tell(done, request, "refused", as_json)


async def _pending(store: AgencyRequestStore, request_id: str) -> AgencyRequest:
    """The request that waits and whose id begins so."""
    waiting = await store.list(AgencyRequestState.PENDING)
    found = [one for one in waiting if one.id.startswith(request_id.lower())]
    if len(found) != 1:
        several = "Several requests wait" if found else "No request waits"
        refuse(f"{several} under the id {request_id}. See: lienthong agencies requests list")
    return found[0]


async def _change(
    session: Session, store: AgencyRequestStore, request: AgencyRequest
) -> Agency | NotAllowed:
    """What the request makes of the directory as it is now."""
    connection = session.routes.connections[request.connection_id]
    code = OrganId.of(request.organ_id)
    today = clock.now().astimezone(VIETNAM_TIME).date()
    earlier = await store.list(organ_key=request.organ_key)
    change = judge_request(
        request.action, code, request.name, connection, session.routes, earlier, today
    )
    if not isinstance(change, NothingToDo):
        return change
    known = session.routes.directory.find(code)
    if known is None:
        raise AssertionError(f"nothing to do about {code}, which is not in the directory")
    return known


def _tell(done: bool, request: AgencyRequest, what: str, as_json: bool) -> None:
    if not done:
        refuse(f"Request {request.id} was decided meanwhile.")
    if as_json:
        print_json({"id": request.id, "state": what})
        return
    verb = "registration" if request.action is RequestAction.REGISTER else "removal"
    show(f"The {verb} of {request.organ_id} {request.name} was {what}.")


def _as_dict(session: Session, request: AgencyRequest) -> dict[str, Any]:
    return {
        "id": request.id,
        "connection": session.connection_name(request.connection_id),
        "action": request.action.value,
        "organId": request.organ_id,
        "name": request.name,
        "particulars": request.particulars,
        "state": request.state.value,
        "requestedAt": time_of(request.requested_at),
        "decidedAt": time_of(request.decided_at),
        "decidedBy": request.decided_by,
        "note": request.note,
    }
