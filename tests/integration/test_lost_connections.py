"""Every client calls a lost connection by its own word, whatever the network stack raised."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from adapters.amqp_partner import Names
from adapters.oidc import OidcVerifier, ProviderAway
from adapters.rabbitmq_admin import AdminProblem, RabbitMqAdmin
from adapters.trust import FetchPolicy, RevocationFetcher, TrustFolder
from adapters.vxp_client import AxisAddress, VxpClient
from adapters.vxp_edoc import EdocAnswer, EdocBroken
from adapters.webhook import WebhookSender
from adapters.webhook_addresses import networks_of
from routing.callbacks import PostOutcome
from tests.support.oidc_server import OidcServer
from tests.support.pki import NOW, pki
from tests.support.pki_server import PkiServer

URL = "http://127.0.0.1:9"
LOOPBACK = ("127.0.0.0/8",)
#: What uvloop says of a transport that was closed under it.
UVLOOP = RuntimeError(
    "unable to perform operation on <TCPTransport closed=True>; the handler is closed"
)


async def _oidc(_: Path) -> bool:
    with OidcServer() as provider:
        verifier = OidcVerifier(provider.issuer, "lienthong", longest_seconds=3600)
        return isinstance(await verifier.verify(provider.token()), ProviderAway)


async def _trust(folder: Path) -> bool:
    policy = FetchPolicy(frozenset({"127.0.0.1:9"}), (f"{URL}/x.crl",))
    (found,) = await RevocationFetcher(TrustFolder(folder), policy).refresh(NOW)
    return not found.ok and not found.refused


async def _rabbitmq(_: Path) -> bool:
    async with RabbitMqAdmin(URL, "/") as admin:
        with pytest.raises(AdminProblem, match="cannot be used"):
            await admin.prepare_partner(Names("t", "lt-x"), "secret")
    return True


async def _axis(_: Path) -> bool:
    address = AxisAddress(URL, "X", "secret", networks_of(LOOPBACK))
    async with VxpClient(address, lambda: datetime.now(UTC)) as client:
        return not (await client.received("edoc")).ok


async def _webhook(_: Path) -> bool:
    return (await WebhookSender().post(URL, LOOPBACK, {}, b"")).outcome in (
        PostOutcome.TRY_LATER,
        PostOutcome.UNKNOWN,
    )


@pytest.mark.parametrize("raised", [UVLOOP, OSError("gone"), TimeoutError()], ids=type)
@pytest.mark.parametrize("ask", [_oidc, _trust, _rabbitmq, _axis, _webhook])
async def test_a_lost_connection_is_a_value(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    ask: Callable[[Path], Awaitable[bool]],
    raised: Exception,
) -> None:
    """Whatever the network stack says, the client says what it says of a lost connection."""

    async def lost(*_: object) -> None:
        raise raised

    monkeypatch.setattr(aiohttp.TCPConnector, "_create_connection", lost)
    assert await ask(tmp_path)


async def test_a_broken_trust_folder_is_no_lost_connection(tmp_path: Path) -> None:
    """Our own disk's fault is raised: nobody looks for it at the authority."""
    (tmp_path / "revocation").write_text("a file where the folder belongs")
    with PkiServer(pki().government, pki().tsa) as server:
        policy = FetchPolicy(frozenset({server.host}), (server.url("/x.crl"),))
        with pytest.raises(FileExistsError):
            await RevocationFetcher(TrustFolder(tmp_path), policy).refresh(NOW)


@pytest.mark.parametrize("zone", ["+9999999999999999", "+9999"])
async def test_a_time_zone_that_there_is_not_says_nothing(zone: str) -> None:
    """Retry-After with an absurd zone: the post is tried later, as without the header."""
    head = f"HTTP/1.1 503 X\r\nContent-Length: 0\r\nRetry-After: Mon, 01 Jan 2024 00:00:00 {zone}"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"{head}\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        result = await WebhookSender().post(url, LOOPBACK, {}, b"")
    assert (result.outcome, result.status, result.retry_after) == (PostOutcome.TRY_LATER, 503, None)


def test_a_frame_nested_without_end_is_a_broken_answer() -> None:
    """As any other that is no JSON: the package is fetched again, nothing ends."""
    answer = EdocAnswer()
    answer.feed(b"[" * 60_000)
    with pytest.raises(EdocBroken, match="no JSON"):
        answer.close()
