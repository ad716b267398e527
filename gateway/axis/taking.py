"""Taking what one of an axis' lists offers: getEdoc → durable → `updateStatus done`.

A crash between any two steps costs nothing: until `done` the axis lists the package again, and the
same bytes are recorded once (`routing.accept`). What cannot be taken *now* stays in the list and is
left alone for a growing while; `fail` is never said, because it would tell the sender of a failure
that is none. What is refused for good is told to its sender (`gateway.axis.refusals`), then `done`;
what was fetched once only and could not be read stays in the list. Where the sender cannot be told
the item stays too, for a bounded time and without being fetched again. One item's trouble stops no
other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from adapters.vxp_client import AxisAnswer, Heard, VxpClient
from gateway import clock
from gateway.axis.events import append
from gateway.axis.items import Item, Unusable, read_items
from gateway.axis.options import AxisOptions
from gateway.axis.refusals import (
    FOR_GOOD,
    Rejected,
    Untold,
    can_be_told,
    is_over,
    not_taken,
    rejected,
    tell,
)
from gateway.hand_in import received, record
from gateway.intake import Body, NotReceived
from identifiers.organ_id import MalformedOrganId, OrganId
from routing.ports import Unavailable
from routing.route_table import Connection, RouteTable
from routing.submission import Accepted, RefusalKind, Refused, Submission

if TYPE_CHECKING:
    from gateway.services import Services

log = structlog.get_logger(__name__)

#: The wait after an item's first failure, seconds; it doubles up to the longest.
FIRST_WAIT = 1.0
LONGEST_WAIT = 3600.0
#: Rows that could not be used are told of once; so many are remembered.
MOST_REMEMBERED = 1000


@dataclass(slots=True)
class Trouble:
    """An item that could not be taken, and when it is tried again (both monotonic seconds)."""

    failures: int
    again_at: float
    why: str
    #: The first failure.
    since: float


#: What stands in the way of an item that speaks of a document which may be waiting, too.
_NO_OWNER_YET = f"refused for now: {RefusalKind.NOT_THE_OWNER.value}"


class AxisAway(Exception):
    """The axis cannot be reached any more: the rest of the list waits with it."""


class Turn:
    """Packages of one sender are fetched side by side and recorded in the order of the list.

    A recall that is recorded before what it recalls would be refused.
    """

    def __init__(self, before: asyncio.Event | None) -> None:
        self._before = before
        self.over = asyncio.Event()

    async def come(self) -> None:
        """Wait until what was sent before is recorded, or is not recorded for now."""
        if self._before is not None:
            await self._before.wait()

    async def pass_on(self) -> None:
        """Let the next one come; not before one's own turn."""
        await self.come()
        self.over.set()


def _denies(routes: RouteTable, said: str, written: str) -> bool:
    """Whether the axis names another agency than the package does, both of them known here.

    A code that nobody has yet may be another code of the same agency.
    """
    one, other = (OrganId.parse(code) for code in (said, written))
    if isinstance(one, MalformedOrganId) or isinstance(other, MalformedOrganId):
        return False
    found = routes.directory.find(one), routes.directory.find(other)
    return None not in found and not routes.directory.same(one, other)


def _must_be_there(answer: AxisAnswer) -> None:
    if answer.heard is Heard.LATER and not answer.status:
        raise AxisAway(str(answer))


class Taker:
    """One list of one axis: its packages, or its status packages."""

    def __init__(self, services: Services, connection: Connection, options: AxisOptions) -> None:
        self._services = services
        self._connection = connection
        self._options = options
        self._troubles: dict[str, Trouble] = {}
        #: Durable here, `done` not heard there yet.
        self._stored: set[str] = set()
        #: Digests of bytes that could not be believed, by docId.
        self._doubted: dict[str, str] = {}
        #: Refused, and nobody could be told yet, by docId.
        self._untold: dict[str, Untold] = {}
        self._told: set[str] = set()
        #: Nothing more is begun in this round.
        self._away = False

    @property
    def stuck(self) -> int:
        """Items that failed so often that somebody was called."""
        limit = self._options.alarm_after
        return sum(one.failures >= limit for one in self._troubles.values())

    async def take(self, client: VxpClient, answer: AxisAnswer, stopping: asyncio.Event) -> int:
        """Take what is listed; how many items left the list.

        Raises `AxisAway` and `Unavailable`.
        """
        self._away = False
        items, unusable = read_items(answer.rows)
        for row in unusable:
            await self._unusable(row)
        # What is listed no more needs no memory.
        listed = {item.doc_id for item in items}
        self._troubles = {key: one for key, one in self._troubles.items() if key in listed}
        self._doubted = {key: one for key, one in self._doubted.items() if key in listed}
        self._untold = {key: one for key, one in self._untold.items() if key in listed}
        self._stored &= listed
        places = asyncio.Semaphore(self._options.fetch_at_once)
        turns: dict[str, asyncio.Event] = {}
        work = []
        now = time.monotonic()
        for item in items:
            trouble = self._troubles.get(item.doc_id)
            if trouble is None or trouble.again_at <= now:
                turn = Turn(turns.get(item.sender))
                turns[item.sender] = turn.over
                work.append(self._in_turn(client, item, items, turn, places, stopping))
        results = await asyncio.gather(*work, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return sum(result for result in results if isinstance(result, int))

    async def _in_turn(
        self,
        client: VxpClient,
        item: Item,
        listed: Sequence[Item],
        turn: Turn,
        places: asyncio.Semaphore,
        stopping: asyncio.Event,
    ) -> bool:
        """Take one item; places are given in the order of the list, so no turn waits for ever."""
        async with places:
            try:
                if stopping.is_set() or self._away:
                    return False
                return await self._guarded(client, item, listed, turn)
            finally:
                await turn.pass_on()

    async def _guarded(
        self, client: VxpClient, item: Item, listed: Sequence[Item], turn: Turn
    ) -> bool:
        """Take one item; whether it left the list. Only a lost axis or database stops the others.

        Raises `AxisAway` and `Unavailable`.
        """
        try:
            trouble = await self._take(client, item, listed, turn)
        except (AxisAway, Unavailable):
            self._away = True
            raise
        except Exception as error:  # a bug met by one package must not stop the others
            log.exception("axis.bug", connection=self._connection.name, item=item.doc_id)
            trouble = f"bug: {type(error).__name__}"
        if trouble is None:
            self._troubles.pop(item.doc_id, None)
            self._stored.discard(item.doc_id)
            return True
        await self._note(item, trouble)
        return False

    async def _take(
        self, client: VxpClient, item: Item, listed: Sequence[Item], turn: Turn
    ) -> str | None:
        """Fetch, record, say `done`; None when it left the list, else what stands in the way."""
        if item.doc_id not in self._stored:
            outcome = await self._known(item) or await self._fetch(client, item, listed, turn)
            if not isinstance(outcome, Rejected):
                self._untold.pop(item.doc_id, None)
            if isinstance(outcome, str):
                return outcome
            if isinstance(outcome, Rejected):
                trouble = await self._refuse(outcome)
                if trouble is not None:
                    return trouble
            self._stored.add(item.doc_id)
        await turn.pass_on()
        said = await client.update_status(item.doc_id, "done")
        _must_be_there(said)
        return None if said.ok else f"done was not heard: {said}"

    async def _known(self, item: Item) -> Rejected | None:
        """The refusal of an item whose sender could not be told; None when it is to be fetched.

        What may have become good meanwhile is looked at once more before its story ends.
        """
        untold = self._untold.get(item.doc_id)
        if untold is None:
            return None
        # The axis may name a sender by now.
        rejection = replace(untold.rejection, item=item)
        if rejection.settled:
            return rejection
        ends = is_over(untold.since, time.monotonic()) or await can_be_told(
            self._services, rejection
        )
        return None if ends else rejection

    async def _fetch(
        self, client: VxpClient, item: Item, listed: Sequence[Item], turn: Turn
    ) -> Accepted | Rejected | str:
        async with client.edoc(item.doc_id, raw=self._options.download == "downloadEdoc") as body:
            if isinstance(body, AxisAnswer):
                _must_be_there(body)
                return f"not given: {body}"
            return await self._hand_in(body, item, listed, turn)

    async def _hand_in(
        self, body: Body, item: Item, listed: Sequence[Item], turn: Turn
    ) -> Accepted | Rejected | str:
        """Receive, judge and record one package."""
        services = self._services
        async with received(services, body) as result:
            if isinstance(result, NotReceived):
                if result.fault in FOR_GOOD:
                    return not_taken(item, result)
                return f"not received: {result.fault.value} {result.found}"
            spool, read = result
            submission = Submission(read, spool, self._connection, clock.new_id(), item.recipients)
            await turn.come()
            answer = await record(services, submission)
            if isinstance(answer, Accepted):
                outcome = "repeated" if answer.repeated else "accepted"
                services.metrics.axis_items.labels(self._connection.name, outcome).inc()
                return answer
            routes = await services.registry.routes(newest=True)
            written = read.package.sender.organ_id if read.package else ""
            denied = _denies(routes, item.sender, written)
            if self._may_become_good(answer, item, listed, denied=denied):
                return f"refused for now: {answer.kind.value}"
            return rejected(item, answer, read, spool.claim.digest)

    def _may_become_good(
        self, answer: Refused, item: Item, listed: Sequence[Item], *, denied: bool
    ) -> bool:
        """Whether the same package may be taken later."""
        if answer.kind is RefusalKind.NOT_THE_SENDER:
            # Unless the axis names another agency, our list of who is behind it may be too short.
            return not denied
        if answer.kind is RefusalKind.NOT_THE_OWNER:
            # The document that it speaks of may be the one that still waits before it.
            return any(
                other.sender == item.sender and self._may_come(other.doc_id)
                for other in listed
                if other.doc_id != item.doc_id
            )
        return False

    def _may_come(self, doc_id: str) -> bool:
        """Whether an item waits that may be taken yet, and others may wait for it.

        Items that only wait for one another do so for a bounded time.
        """
        trouble, untold = self._troubles.get(doc_id), self._untold.get(doc_id)
        if trouble is None or (untold and untold.rejection.settled):
            return False
        return trouble.why != _NO_OWNER_YET or not is_over(trouble.since, time.monotonic())

    async def _refuse(self, rejection: Rejected) -> str | None:
        """Refuse for good; None when that is done, else what stands in the way."""
        item = rejection.item
        if rejection.doubtful and self._doubted.get(item.doc_id) != rejection.digest:
            self._doubted[item.doc_id] = rejection.digest
            return f"{rejection.why} {list(rejection.rules)}: believed when it comes again"
        now = time.monotonic()
        first = self._untold.get(item.doc_id)
        # Remembered before it is told: our own database may be away just now.
        untold = Untold(rejection, first.since if first else now)
        self._untold[item.doc_id] = untold
        give_up = rejection.at_once or is_over(untold.since, now)
        told = await tell(self._services, self._connection, rejection, give_up=give_up)
        if told is None:
            return f"{rejection.why} {list(rejection.rules)}: there is no way to tell its sender"
        del self._untold[item.doc_id]
        self._doubted.pop(item.doc_id, None)
        if rejection.told and not told:
            self._services.metrics.alarms.labels("refused-untold").inc()
        self._services.metrics.axis_items.labels(self._connection.name, "refused").inc()
        log.warning(
            "axis.refused",
            connection=self._connection.name,
            item=item.doc_id,
            why=rejection.why,
            rules=list(rejection.rules),
            sender_told=told,
        )
        return None

    async def _note(self, item: Item, why: str) -> None:
        """Put an item off; after several failures somebody is called."""
        known = self._troubles.get(item.doc_id)
        failures = known.failures + 1 if known else 1
        wait = min(FIRST_WAIT * 2.0 ** min(failures - 1, 20), LONGEST_WAIT)
        now = time.monotonic()
        since = known.since if known else now
        self._troubles[item.doc_id] = Trouble(failures, now + wait, why, since)
        self._services.metrics.axis_items.labels(self._connection.name, "later").inc()
        log.warning(
            "axis.item-waits",
            connection=self._connection.name,
            item=item.doc_id,
            failures=failures,
            again_in=wait,
            why=why,
        )
        if failures == self._options.alarm_after:
            data = {"docId": item.doc_id, "from": item.sender, "why": why, "failures": failures}
            await append(self._services, self._connection, "axis.item-stuck", data)

    async def _unusable(self, row: Unusable) -> None:
        """A row that nothing can be done with is told of once."""
        if row.row in self._told:
            return
        if len(self._told) >= MOST_REMEMBERED:
            self._told.clear()
        self._told.add(row.row)
        log.warning("axis.unusable-row", connection=self._connection.name, why=row.why, row=row.row)
        data = {"row": row.row, "why": row.why}
        await append(self._services, self._connection, "axis.unusable-row", data)
