"""Load on a running gateway: senders, and recipients that list, fetch and confirm."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.bench.packages import Packages

SENDERS = 8
FETCHERS = 4


@dataclass
class Figures:
    """What was measured."""

    documents: int
    seconds: float
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Documents per second."""
        return self.documents / self.seconds

    def percentile(self, share: float) -> float:
        """Latency in milliseconds below which this share of submissions lies."""
        ordered = sorted(self.latencies)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000


async def end_to_end(url: str, sender: str, recipients: list[str], count: int, run: str) -> Figures:
    """Submit `count` documents as fast as answers come; ends when every recipient has all."""
    packages = Packages(run)
    figures = Figures(count, 0.0)
    numbers = iter(range(count))
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, connector=connector) as session:
        start = time.perf_counter()

        async def send() -> None:
            for number in numbers:
                await _submit(session, sender, packages.make(number), figures)

        drains = [asyncio.create_task(_drain(session, token, count)) for token in recipients]
        await asyncio.gather(*(send() for _ in range(SENDERS)))
        await asyncio.gather(*drains)
        figures.seconds = time.perf_counter() - start
    return figures


async def paced(
    url: str, sender: str, recipients: list[str], count: int, rate: float, run: str
) -> Figures:
    """Submit at `rate` documents per second, whatever the answers do (open loop)."""
    packages = Packages(run)
    figures = Figures(count, 0.0)
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0)) as session:
        drains = [asyncio.create_task(_drain(session, token, count)) for token in recipients]
        start = time.perf_counter()
        sends = []
        for number in range(count):
            await asyncio.sleep(max(start + number / rate - time.perf_counter(), 0))
            content = packages.make(number)
            sends.append(asyncio.create_task(_submit(session, sender, content, figures)))
        await asyncio.gather(*sends, *drains)
        figures.seconds = time.perf_counter() - start
    return figures


async def _submit(
    session: aiohttp.ClientSession, token: str, content: bytes, figures: Figures
) -> None:
    start = time.perf_counter()
    async with session.post("/v1/packages", data=content, headers=_bearer(token)) as answer:
        if answer.status != 202:
            raise RuntimeError(f"{answer.status}: {await answer.text()}")
        await answer.read()
    figures.latencies.append(time.perf_counter() - start)


async def _drain(session: aiohttp.ClientSession, token: str, count: int) -> None:
    """As a document system does: list a page, fetch and confirm all of it, list again."""
    confirmed = 0
    while confirmed < count:
        query = {"limit": "100", "wait": "5"}
        async with session.get("/v1/inbox", params=query, headers=_bearer(token)) as answer:
            items = iter((await answer.json())["items"])
        done = await asyncio.gather(*(_fetch(session, token, items) for _ in range(FETCHERS)))
        confirmed += sum(done)


async def _fetch(session: aiohttp.ClientSession, token: str, items: Iterator[Any]) -> int:
    """Fetch and confirm one item after the other; how many."""
    confirmed = 0
    for item in items:
        path = f"/v1/packages/{item['packageId']}/content"
        async with session.get(path, headers=_bearer(token)) as answer:
            await answer.read()
        path = f"/v1/inbox/{item['id']}/confirm"
        async with session.post(path, headers=_bearer(token)) as answer:
            if answer.status != 200:
                raise RuntimeError(f"{answer.status}: {await answer.text()}")
        confirmed += 1
    return confirmed


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
