"""A simulated agency: software that is pushed to or that pulls, and misbehaves as a script says.

It keeps nothing but what it prints and writes into its journal. Pushed to, it takes packages at an
address and answers by the rules; pulling, it lists, fetches, confirms and reports with a token.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web

from gateway.client import GatewayClient, Problem
from gateway.simulate.script import Counted, Misbehaviour, Part, Reply

Step = Literal["push", "ask", "list", "fetch", "confirm", "report", "*"]
Action = Literal["slow", "never", "drop", "lost", "http", "twice", "reverse"]


class AgencyRule(Misbehaviour):
    """One misbehaviour of an agency."""

    step: Step = "*"
    do: Action


class AgencyScript(Part):
    """A simulated agency."""

    #: What it reports of each document that it pulled, in this order.
    reports: tuple[Reply, ...] = ()
    rules: tuple[AgencyRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """One step, for the screen and the journal."""

    step: str
    delivery: str
    what: str
    size: int = 0
    sha256: str = ""


@dataclass
class SimulatedAgency:
    """One agency with its script."""

    script: AgencyScript
    on_step: Callable[[Done], None] = print
    #: Delivery id to the digest of what was taken, once each.
    taken: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rules = Counted(self.script.rules)

    def _rule(self, step: Step) -> AgencyRule | None:
        """The rule for this step, counted."""
        return self._rules.first(lambda rule: rule.step in (step, "*"))

    # --- pushed to ------------------------------------------------------------------------------

    @asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[str]:
        """Take packages at an address, which is given."""
        application = web.Application(client_max_size=1024**3)
        application.router.add_post("/edxml", self._pushed)
        application.router.add_get("/edxml/{delivery}", self._asked)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            yield f"http://{host}:{runner.addresses[0][1]}/edxml"
        finally:
            await runner.cleanup()

    async def _pushed(self, request: web.Request) -> web.StreamResponse:
        delivery = request.headers.get("webhook-id", "")
        digest, size = hashlib.sha256(), 0
        async for block in request.content.iter_any():
            digest.update(block)
            size += len(block)
        rule = self._rule("push")
        refused = rule is not None and rule.do in ("drop", "http", "never")
        if not refused:
            again = delivery in self.taken
            self.taken[delivery] = digest.hexdigest()
            what = "taken again" if again else "taken"
        else:
            what = "not taken"
        did = f"{what} [{rule.do}]" if rule else what
        self.on_step(Done("push", delivery, did, size, digest.hexdigest()))
        return await self._answered(request, rule)

    async def _asked(self, request: web.Request) -> web.StreamResponse:
        delivery = request.match_info["delivery"]
        known = delivery in self.taken
        rule = self._rule("ask")
        self.on_step(Done("ask", delivery, "known" if known else "unknown"))
        return await self._answered(request, rule, 200 if known else 404)

    async def _answered(
        self, request: web.Request, rule: AgencyRule | None, status: int = 200
    ) -> web.StreamResponse:
        match rule.do if rule else "":
            case "slow" if rule:
                await asyncio.sleep(rule.seconds)
            case "never":
                await asyncio.Event().wait()
            case "drop" | "lost":
                if request.transport is not None:
                    request.transport.abort()
            case "http" if rule:
                return web.json_response({"detail": rule.text}, status=rule.status)
        return web.Response(status=status)

    # --- pulling --------------------------------------------------------------------------------

    async def pull(self, client: GatewayClient, stop: asyncio.Event, wait: int = 5) -> None:
        """List, fetch, confirm and report until `stop`."""
        while not stop.is_set():
            listed = await client.inbox(wait=wait)
            if isinstance(listed, Problem):
                self.on_step(Done("list", "", f"{listed.title}: {listed.detail}"))
                await asyncio.sleep(1)
                continue
            items = list(listed["items"])
            rule = self._rule("list") if items else None
            if rule is not None and rule.do == "reverse":
                items.reverse()
            for item in items:
                await self._take(client, item["id"], item["kind"])
            if items and all(item["id"] not in self.taken for item in items):
                # All were spoilt: not at full speed again.
                await asyncio.sleep(1)

    async def _take(self, client: GatewayClient, delivery: str, kind: str) -> None:
        for _ in range(await self._times("fetch", delivery)):
            content = await client.fetch(delivery, lambda _: None)
            if isinstance(content, Problem):
                self.on_step(Done("fetch", delivery, f"{content.title}: {content.detail}"))
                return
            self.on_step(Done("fetch", delivery, "fetched", content.size, content.sha256))
            self.taken[delivery] = content.sha256
        for _ in range(await self._times("confirm", delivery)):
            answer = await client.confirm(delivery)
            self.on_step(Done("confirm", delivery, _told(answer, "confirmed")))
        if kind == "document":
            await self._report(client, delivery)

    async def _report(self, client: GatewayClient, delivery: str) -> None:
        for reply in self.script.reports:
            await asyncio.sleep(reply.after_seconds)
            for _ in range(await self._times("report", delivery)):
                answer = await client.report(delivery, reply.status, reply.reason)
                self.on_step(Done("report", delivery, _told(answer, reply.status)))

    async def _times(self, step: Step, delivery: str) -> int:
        """How often a step is done, after the wait that its rule asks for."""
        rule = self._rule(step)
        match rule.do if rule else "":
            case "never" | "drop":
                self.on_step(Done(step, delivery, "left out"))
                return 0
            case "twice":
                return 2
            case "slow" if rule:
                await asyncio.sleep(rule.seconds)
        return 1


def _told(answer: dict[str, object] | Problem, done: str) -> str:
    return f"{answer.title}: {answer.detail}" if isinstance(answer, Problem) else done
