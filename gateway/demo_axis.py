"""The demonstration of an axis: two gateways, one the province's, the other the national axis.

The stand-in for the national axis is a second gateway process that speaks the national axis
protocol; the province's gateway polls it, sends to it, and takes its directory over. Half-way the
axis is stopped and started again. Both are child processes that end with the demonstration.
"""

from __future__ import annotations

import hashlib
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from envelopes.model import Party
from gateway import clock
from gateway.axis.synchronise import NoDirectory, apply_diff, directory_diff
from gateway.cli.axis import axis_client
from gateway.cli.registration import NewConnection, NotAdded, add_connection
from gateway.cli.session import open_session
from gateway.client import GatewayClient, Problem, open_client
from gateway.demo import sample_package
from gateway.demo_stage import (
    DemoFailed,
    Demonstration,
    good,
    inbox,
    service,
    settings_in,
    until_ready,
)
from gateway.settings import Settings

PROVINCE = Party("H41", "Ủy ban nhân dân tỉnh Nghệ An")
MINISTRY = Party("G22", "Văn phòng Chính phủ")
AXIS = "Trục quốc gia"
SYSTEM_ID = "NGHEAN"
#: Seconds that a package may take through both gateways.
PATIENCE = 60.0


@dataclass(slots=True)
class _Gateway:
    """One of the two."""

    name: str
    folder: Path
    settings: Settings
    running: AsyncExitStack

    @property
    def url(self) -> str:
        return f"http://{self.settings.listen}"


def run_demo_axis(language: str = "en", *, verbose: bool = False) -> int:
    """Run it; the exit code. Prints a line for every step."""
    return _Demo(language, verbose=verbose).perform()


class _Demo(Demonstration):
    """There and back through an axis, which is away in between."""

    prefix = "lienthong-demo-axis-"
    done = "Done: both services are stopped, the folder is removed."

    async def _play(self, folder: Path) -> None:
        axis, province = (_gateway(folder, who) for who in ("axis", "province"))
        try:
            await self._road(axis, province)
        finally:
            await province.running.aclose()
            await axis.running.aclose()

    async def _road(self, axis: _Gateway, province: _Gateway) -> None:
        await self._start(axis, "The national axis, played by a gateway,")
        await self._start(province, "The province's gateway")
        partner = await self._add(axis, SYSTEM_ID, "vxp", PROVINCE, {"system_id": SYSTEM_ID})
        ministry = await self._add(axis, "QLVB VPCP", "pull", MINISTRY, {})
        clerk = await self._add(province, "QLVB Nghe An", "pull", PROVINCE, {})
        base = axis.settings.vxp_base_path
        options = {
            "url": f"{axis.url}{base}",
            "system_id": SYSTEM_ID,
            "default_route": "true",
            "dial_networks": "127.0.0.0/8",
            "poll_seconds": "0.5",
            "directory_seconds": "0",
        }
        await self._add(province, AXIS, "vxp-axis", None, options, partner.secret)
        await self._sync(province)
        async with (
            open_client(province.url, clerk.token) as sender,
            open_client(axis.url, ministry.token) as receiver,
        ):
            document_id = await self._there_and_back(sender, receiver)
            await self._without_the_axis(axis, sender, receiver)
            await self._tell(
                province.settings, document_id, "What the province's gateway tells of it:"
            )

    async def _start(self, gateway: _Gateway, who: str) -> None:
        await _run(gateway)
        self._step(f"{who} runs at {gateway.url}.", "serve")

    async def _add(
        self,
        gateway: _Gateway,
        name: str,
        kind: str,
        party: Party | None,
        options: dict[str, str],
        secret: str = "",
    ) -> NewConnection:
        codes = {party.organ_id: party.organ_name} if party else {}
        async with open_session(gateway.settings, creates=True) as session:
            answer = await add_connection(
                session,
                name,
                list(codes),
                codes,
                kind=kind,
                options=options,
                secret=secret,
                operator="demo",
            )
        if isinstance(answer, NotAdded):
            raise DemoFailed(answer.reason)
        agency = f" --agency {party.organ_id}" if party else ""
        shown = "".join(f" -o {key}={value}" for key, value in options.items())
        given = " --secret-file secret.txt" if secret else ""
        self._step(
            f"On the {gateway.name}: connection «{name}».",
            f'connections add "{name}" --kind {kind}{agency}{shown}{given}',
        )
        return answer

    async def _sync(self, province: _Gateway) -> None:
        """Take the axis' directory over, told before it is done."""
        async with open_session(province.settings) as session:
            connection = session.routes.connection_named(AXIS)
            if connection is None:
                raise DemoFailed("the connection to the axis is gone")
            async with await axis_client(session, connection) as client:
                diff = await directory_diff(client, session.routes, connection)
            if isinstance(diff, NoDirectory):
                raise DemoFailed(f"the axis gave no directory: {diff.answer}")
            await apply_diff(session.registry, connection, diff, "operator:demo")
        new = ", ".join(f"{one.organ_id} {one.name}" for one in diff.new)
        self._step(f"The axis' directory is taken over; new: {new}.", f'axis sync "{AXIS}"')

    async def _there_and_back(self, sender: GatewayClient, receiver: GatewayClient) -> str:
        """A document to the ministry, two states back; the DocumentId."""
        package = sample_package(clock.now(), [MINISTRY])
        sent = good(await sender.send(package))
        self._step(
            f"{PROVINCE.organ_name} hands in {sent['documentId']} at its own gateway.",
            "send document.edxml",
        )
        delivery = await self._fetch(receiver, MINISTRY, package)
        for code, words in (("03", "accepted"), ("06", "finished")):
            good(await receiver.report(delivery, code))
            self._step(
                f"{MINISTRY.organ_name} reports {code} ({words}) at the axis.",
                f"report {delivery} --status {code}",
            )
        for item in await inbox(sender, 2, PATIENCE):
            got = await sender.fetch(item["id"], lambda block: None)
            if isinstance(got, Problem):
                raise DemoFailed(got.detail)
            good(await sender.confirm(item["id"]))
            self._step(f"{PROVINCE.organ_name} reads status {item['meaning']} at its own gateway.")
        return str(sent["documentId"])

    async def _without_the_axis(
        self, axis: _Gateway, sender: GatewayClient, receiver: GatewayClient
    ) -> None:
        await axis.running.aclose()
        self._step("The axis is gone.")
        package = sample_package(clock.now(), [MINISTRY])
        good(await sender.send(package))
        self._step("The province hands in another document all the same.", "send another.edxml")
        axis.running = AsyncExitStack()
        await self._start(axis, "The axis is back: it")
        await self._fetch(receiver, MINISTRY, package)

    async def _fetch(self, client: GatewayClient, party: Party, package: bytes) -> str:
        """List, fetch, compare, confirm; the delivery's id."""
        item = (await inbox(client, 1, PATIENCE))[0]
        received = bytearray()
        got = await client.fetch(item["id"], received.extend)
        if isinstance(got, Problem):
            raise DemoFailed(got.detail)
        if bytes(received) != package:
            raise DemoFailed(f"{party.organ_name} received other bytes than were sent")
        good(await client.confirm(item["id"]))
        digest = hashlib.sha256(package).hexdigest()[:12]
        self._step(
            f"{party.organ_name} finds it in its inbox at the axis and fetches {got.size} bytes, "
            f"SHA-256 {digest}…: byte for byte what was sent.",
            f"fetch {item['id']} -o document.edxml",
        )
        return str(item["id"])


def _gateway(folder: Path, name: str) -> _Gateway:
    """A gateway in a folder of its own; nothing runs yet."""
    mine = folder / name
    mine.mkdir()
    return _Gateway(name, mine, settings_in(mine), AsyncExitStack())


async def _run(gateway: _Gateway) -> None:
    """Start its process and wait until it is ready; it ends with `gateway.running`."""
    stack = gateway.running
    await stack.enter_async_context(service(gateway.settings, gateway.folder))
    probe = await stack.enter_async_context(open_client(gateway.url, ""))
    await until_ready(probe, gateway.folder)
