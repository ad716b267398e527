"""`lienthong deliveries …`: what an operator looks at and decides, straight on the database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import click

from envelopes.findings import Sentence
from gateway import clock
from gateway.cli.context import NAME, State, json_option, operator_option, pass_state
from gateway.cli.failures import REFUSED, refuse
from gateway.cli.output import print_fields, print_json, print_table, say, sentence, show
from gateway.cli.session import Session, open_session
from gateway.rest import encode
from gateway.waiting import why_waiting
from routing.dead_letters import Answer, DeadLetters, NotNow, UnknownDelivery
from routing.ports import DeliveryQuery, Transaction
from routing.records import Attempt, Delivery, PackageRecord
from routing.states import Happening, TransportState

#: What of an event's data says why an operator held a delivery.
_HELD = f"delivery.{Happening.HELD}"

Step = Callable[[DeadLetters, Session, str], Awaitable[Answer]]


@click.group(short_help="Look at deliveries and decide.")
def deliveries() -> None:
    """One package for one recipient: where it is, and an operator's decisions."""


def dead_letters(session: Session) -> DeadLetters:
    """The operator's use cases on this session's database and data folder."""
    # Imported here: looking at deliveries needs none of the service's parts.
    from gateway.app import make_reports
    from gateway.payload_stores import open_payloads
    from gateway.signing_key import open_signer
    from routing.lanes import FairClock

    payloads = open_payloads(session.settings)
    signer = open_signer(session.settings) if session.settings.signing_key else None
    reports = make_reports(session.settings, payloads, FairClock(), signer)
    return DeadLetters(session.database, reports)


_COLUMNS = (
    "id",
    "state",
    "report",
    "kind",
    "document",
    "to",
    "connection",
    "tries",
    "changed",
    "why",
)


def _state(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> list[str]:
    names = [name.strip() for item in given for name in item.split(",")]
    known = [state.value for state in TransportState]
    for name in names:
        if name not in known:
            raise click.BadParameter(f"{name!r} is no state; states are {', '.join(known)}")
    return names


@deliveries.command("list")
@click.option(
    "--state",
    "states",
    multiple=True,
    callback=_state,
    metavar="STATE[,STATE…]",
    help="Only these: " + ", ".join(TransportState) + ".",
)
@click.option("--connection", type=NAME, metavar="NAME", help="Only those of this connection.")
@click.option("--recipient", type=NAME, metavar="CODE", help="Only those to this agency.")
@click.option("--document", type=NAME, metavar="DOCUMENTID", help="Only those of this document.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@click.option("--after", metavar="ID", default="", help="Go on after this delivery.")
@json_option
@pass_state
async def list_(
    state: State,
    states: list[str],
    connection: str | None,
    recipient: str | None,
    document: str | None,
    limit: int,
    after: str,
    as_json: bool,
) -> None:
    """Deliveries, newest first."""
    async with open_session(state.settings) as session:
        found = session.routes.connection_named(connection) if connection is not None else None
        if connection is not None and found is None:
            refuse(f"There is no connection {connection!r}.")
        query = DeliveryQuery(
            states=tuple(TransportState(name) for name in states),
            connection_id=found.id if found else None,
            recipient=session.routes.key_of_text(recipient) if recipient else "",
            document_id=document,
            after=after,
            limit=limit + 1,
        )

        async def read(tx: Transaction) -> list[_Known]:
            return await _with_package(tx, await tx.search_deliveries(query))

        known = await session.database.read(read)
        more, known = len(known) > limit, known[:limit]
        if as_json:
            items = [_listed(session, one) for one in known]
            print_json({"items": items, "next": known[-1].row.id if more else None})
            return
        if not known:
            say("No deliveries.")
            return
        print_table(
            _COLUMNS,
            (
                (
                    one.row.id,
                    one.row.state,
                    one.row.business_state,
                    one.package.kind if one.package else "",
                    one.package.document_id if one.package else "",
                    f"{one.row.recipient_organ_id} {one.row.recipient_name}",
                    session.connection_name(one.row.connection_id),
                    one.row.attempts,
                    one.row.updated_at,
                    _why_here(session, one, state.language or "en"),
                )
                for one in known
            ),
        )
        if more:
            say(f"There are more: --after {known[-1].row.id}")


@dataclass(frozen=True, slots=True)
class _Known:
    """A delivery with its package, and why an operator holds it, if one does."""

    row: Delivery
    package: PackageRecord | None
    held: str
    attempts: Sequence[Attempt] = ()


async def _with_package(tx: Transaction, rows: Sequence[Delivery]) -> list[_Known]:
    packages = await tx.get_packages(list({row.package_id for row in rows}))
    return [_Known(row, packages.get(row.package_id), await _held(tx, row)) for row in rows]


async def _held(tx: Transaction, row: Delivery) -> str:
    """What the operator wrote who holds it; the log knows."""
    if row.state is not TransportState.HELD:
        return ""
    told = [
        f"{event.data.get('why', '')} ({event.actor.removeprefix('operator:')})"
        for event in await tx.events_of_package(row.package_id)
        if event.delivery_id == row.id and event.type == _HELD
    ]
    return told[-1] if told else ""


def _listed(session: Session, known: _Known) -> dict[str, Any]:
    """A delivery for programs, with what its package says and what keeps it."""
    row, package = known.row, known.package
    waits = why_waiting(row, session.routes.connections, clock.now())
    return {
        **encode.delivery(row),
        "connection": session.connection_name(row.connection_id) or None,
        "documentId": package.document_id if package else None,
        "documentPk": row.document_pk,
        "kind": package.kind if package else None,
        "sha256": package.digest if package else None,
        "held": known.held or None,
        "waiting": {"vi": waits.vi, "en": waits.en} if waits else None,
    }


def _why_here(session: Session, known: _Known, language: str | None) -> str:
    """Why it is where it is and what keeps it, in one text."""
    row = known.row
    waits = why_waiting(row, session.routes.connections, clock.now())
    sentences = [row.reason.sentence] if row.reason else []
    sentences += [waits] if waits else []
    return " ".join([*(sentence(one, language) for one in sentences), known.held]).strip()


@deliveries.command("show")
@click.argument("ids", nargs=-1, required=True, type=NAME, metavar="ID…")
@json_option
@pass_state
async def show_(state: State, ids: tuple[str, ...], as_json: bool) -> None:
    """All that is known of these deliveries, with their attempts."""
    async with open_session(state.settings) as session:

        async def read(tx: Transaction) -> list[_Known]:
            rows = {row.id: row for row in await tx.get_deliveries(ids)}
            wanted = [rows[one] for one in dict.fromkeys(ids) if one in rows]
            return [
                replace(one, attempts=await tx.attempts_of(one.row.id))
                for one in await _with_package(tx, wanted)
            ]

        found = await session.database.read(read)
        if as_json:
            print_json({"items": [_shown(session, known) for known in found]})
        else:
            for known in found:
                _print_delivery(session, known, state.language)
    missing = [one for one in ids if one not in {known.row.id for known in found}]
    if missing:
        refuse(f"There is no delivery {', '.join(missing)}.")


def _shown(session: Session, known: _Known) -> dict[str, Any]:
    log = [encode.attempt(attempt) for attempt in known.attempts]
    return {**_listed(session, known), "attemptsLog": log}


def _print_delivery(session: Session, known: _Known, language: str | None) -> None:
    row, package = known.row, known.package
    waits = why_waiting(row, session.routes.connections, clock.now())
    print_fields(
        (
            ("delivery", row.id),
            ("state", row.state),
            ("reported", row.business_state),
            ("why", sentence(row.reason.sentence, language) if row.reason else ""),
            ("held", known.held),
            ("waits", sentence(waits, language) if waits else ""),
            ("recipient", f"{row.recipient_organ_id} {row.recipient_name}"),
            ("connection", session.connection_name(row.connection_id)),
            ("lane", row.lane),
            ("package", row.package_id),
            ("kind", package.kind if package else ""),
            ("document", package.document_id if package else ""),
            ("subject", package.summary.get("subject") if package else ""),
            ("from", f"{package.sender_organ_id} {package.sender_name}" if package else ""),
            ("accepted", row.created_at),
            ("offered", row.offered_at),
            ("fetched", row.fetched_at),
            ("delivered", row.delivered_at),
            ("next try", row.ring_at),
            ("attempts", row.attempts),
        )
    )
    for one in known.attempts:
        ended = one.outcome or "no answer yet"
        show(f"  attempt {one.number}  {one.started_at.isoformat()}  {ended}  {one.detail}")
    show()


@deliveries.command()
@click.argument("ids", nargs=-1, required=True, type=NAME, metavar="ID…")
@click.option("--reason", required=True, help="Why; goes into the log.")
@json_option
@operator_option
@pass_state
async def hold(
    state: State, ids: tuple[str, ...], reason: str, as_json: bool, operator: str
) -> None:
    """Stop deliveries for the time being; they keep their place."""
    why = _why(reason)
    await _each(state, ids, as_json, lambda use, _, one: use.hold(one, operator, why, clock.now()))


@deliveries.command()
@click.argument("ids", nargs=-1, required=True, type=NAME, metavar="ID…")
@json_option
@operator_option
@pass_state
async def release(state: State, ids: tuple[str, ...], as_json: bool, operator: str) -> None:
    """Let held deliveries go on."""
    await _each(
        state,
        ids,
        as_json,
        lambda use, session, one: use.release(one, operator, session.routes, clock.now()),
    )


@deliveries.command()
@click.argument("ids", nargs=-1, required=True, type=NAME, metavar="ID…")
@json_option
@operator_option
@pass_state
async def replay(state: State, ids: tuple[str, ...], as_json: bool, operator: str) -> None:
    """Start dead or expired deliveries again, with the same id, on today's route."""
    await _each(
        state,
        ids,
        as_json,
        lambda use, session, one: use.replay(one, operator, session.routes, clock.now()),
    )


@deliveries.command("return")
@click.argument("ids", nargs=-1, required=True, type=NAME, metavar="ID…")
@click.option("--reason", required=True, help="Why; the sender is told in a status 02.")
@json_option
@operator_option
@pass_state
async def return_(
    state: State, ids: tuple[str, ...], reason: str, as_json: bool, operator: str
) -> None:
    """Give deliveries up and tell the sender, with the reason."""
    why = _why(reason)
    await _each(
        state,
        ids,
        as_json,
        lambda use, session, one: use.give_back(one, operator, why, session.routes, clock.now()),
    )


def _why(reason: str) -> str:
    why = reason.strip()
    if not why:
        raise click.BadParameter("write a reason", param_hint="--reason")
    return why


async def _each(state: State, ids: tuple[str, ...], as_json: bool, step: Step) -> None:
    """Take the step on each delivery; exit 1 when one of them could not take it."""
    async with open_session(state.settings) as session:
        use = dead_letters(session)
        answers = [(one, await step(use, session, one)) for one in dict.fromkeys(ids)]
    if as_json:
        print_json({"items": [_answer_dict(one, answer) for one, answer in answers]})
    else:
        for one, answer in answers:
            if isinstance(answer, Delivery):
                show(f"{one}  is now {answer.state}")
            else:
                say(f"{one}  {sentence(_refusal(answer), state.language)}")
    if not all(isinstance(answer, Delivery) for _, answer in answers):
        raise click.exceptions.Exit(REFUSED)


def _refusal(answer: UnknownDelivery | NotNow) -> Sentence:
    if isinstance(answer, NotNow):
        return answer.sentence
    return Sentence(vi="Không có lượt gửi này.", en="There is no such delivery.")


def _answer_dict(one: str, answer: Answer) -> dict[str, Any]:
    if isinstance(answer, Delivery):
        return {"id": one, "done": True, "state": answer.state.value, "reason": None}
    why = _refusal(answer)
    state = answer.delivery.state.value if isinstance(answer, NotNow) else None
    return {"id": one, "done": False, "state": state, "reason": {"vi": why.vi, "en": why.en}}
