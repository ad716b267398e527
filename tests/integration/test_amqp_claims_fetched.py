"""Fetching what a claim check stands for, when something in between answers."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aio_pika import Message
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.amqp_axis_intake import Altered, AxisIntake
from gateway.hand_in import Bytes
from gateway.services import Services
from tests.support.builders import connection
from tests.support.parts import open_parts


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    """The parts of a gateway."""
    async with open_parts(tmp_path) as parts:
        yield parts


async def test_an_empty_page_refuses_no_package(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy answers 200 with nothing: tried again. An empty message is refused for good."""

    async def nothing(_request: web.Request) -> web.Response:
        return web.Response()

    async def secret(_intake: Any) -> str:
        return "bi-mat"

    monkeypatch.setattr(AxisIntake, "_secret", secret)
    page = web.Application()
    page.router.add_get("/v1/claims/{digest}", nothing)
    digest = hashlib.sha256(b"package").hexdigest()
    message: Any = Message(b"", headers={})
    async with TestServer(page) as server:
        settings = {
            "url": "amqp://gateway.example:5672/lienthong",
            "user": "ga",
            "gateway_url": str(server.make_url("")),
        }
        intake = AxisIntake(services, replace(connection("gb", "H41"), settings=settings))
        with pytest.raises(Altered):
            await intake._fetch(message, "delivery-1", digest)
    assert await intake._hand_in(message, Bytes(b""), digest) is not None
