"""A partner's software on RabbitMQ as an outsider would write it: aio-pika, no code of ours.

It knows what ``docs/connect-amqp.md`` says, and can do wrong what that page says.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from urllib.parse import urlencode

import aio_pika
from aio_pika.abc import AbstractIncomingMessage, AbstractRobustConnection
from yarl import URL

from routing.route_table import Connection, ConnectionStatus
from tests.support.servers import RabbitMq, wait_until_async
from tests.support.servers.processes import clean_environment
from tests.support.servers.warm import run_program
from tests.support.service import GatewayProcess, Site

#: Seconds that anything here may take.
DEADLINE = 30.0


@dataclass(frozen=True, slots=True)
class Account:
    """What the operator gives a partner."""

    url: str
    user: str
    secret: str
    base: str

    @property
    def address(self) -> str:
        """The AMQP address with user and password."""
        return str(URL(self.url).with_user(self.user).with_password(self.secret))


def command(site: Site, *arguments: str, given: str = "", **environment: str) -> str:
    """Run `lienthong …` as an operator of this site; what it prints."""
    env = clean_environment(**site.environment, **environment)
    done = run_program(*arguments, env=env, given=given)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout


def add_partner(
    site: Site, rabbitmq: RabbitMq, name: str, *codes: str, options: tuple[str, ...] = ()
) -> Account:
    """`lienthong connections add NAME --kind amqp`: what is told to the partner."""
    agencies = [part for code in codes for part in ("--agency", code)]
    chosen = [part for option in options for part in ("-o", option)]
    shown = command(
        site,
        *("connections", "add", name, "--kind", "amqp", *agencies, *chosen, "--json"),
        LIENTHONG_BROKER_ADMIN_URL=rabbitmq.admin_url,
    )
    told = json.loads(shown)
    since = datetime.fromisoformat(told["createdAt"])
    site.connections[name] = Connection(
        told["id"], name, "amqp", ConnectionStatus.ACTIVE, (), since
    )
    notes = dict(line.split(None, 1) for line in told["notes"][1:])
    url = str(URL(site.broker_url).with_user(None))
    return Account(url, notes["user"], told["secret"], notes["publishes"].split(".intake")[0])


@dataclass
class AmqpSoftware:
    """The software of one partner: publishes, and collects what comes."""

    account: Account
    #: Whether it confirms what it gets.
    sends_receipts: bool = True
    packages: dict[str, AbstractIncomingMessage] = field(default_factory=dict)
    #: Every message that came, repeats too: queue and message id.
    arrivals: list[tuple[str, str]] = field(default_factory=list)
    answers: dict[str, AbstractIncomingMessage] = field(default_factory=dict)
    _link: AbstractRobustConnection | None = None

    async def __aenter__(self) -> Self:
        self._link = await aio_pika.connect_robust(self.account.address, timeout=10)
        self._channel = await self._link.channel(publisher_confirms=True)
        base = self.account.base
        self._intake = await self._channel.get_exchange(f"{base}.intake", ensure=False)
        for name in (f"{base}.inbox.urgent", f"{base}.inbox"):
            queue = await self._channel.get_queue(name)
            await queue.consume(self._take)
        answers = await self._channel.get_queue(f"{base}.answers")
        await answers.consume(self._hear)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._link is not None:
            await self._link.close()

    async def send(
        self,
        body: bytes,
        *,
        kind: str | None = "package",
        user: str | None = "",
        correlation_id: str | None = None,
        headers: dict[str, Any] | None = None,
    ) -> str:
        """Publish a message; its message_id."""
        message_id = str(uuid.uuid4())
        message = aio_pika.Message(
            body,
            type=kind,
            message_id=message_id,
            user_id=self.account.user if user == "" else user,
            correlation_id=correlation_id,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            headers=headers or {},
        )
        await self._intake.publish(message, "", mandatory=True, timeout=10)
        return message_id

    async def receipt(
        self, delivery_id: str, sha256: str, outcome: str = "received", reason: str = ""
    ) -> str:
        """Say that a package is here, or refuse it."""
        body = json.dumps({"vi": reason}).encode() if reason else b"{}"
        return await self.send(
            body,
            kind="receipt",
            correlation_id=delivery_id,
            headers={"lt-sha256": sha256, "lt-outcome": outcome},
        )

    async def answer(self, message_id: str) -> tuple[str, dict[str, Any]]:
        """Wait for the gateway's answer: its outcome and its body."""
        await wait_until_async(
            lambda: message_id in self.answers, DEADLINE, f"an answer to {message_id}"
        )
        answer = self.answers[message_id]
        return str(answer.headers["lt-outcome"]), json.loads(answer.body)

    async def package(
        self, wanted: Callable[[AbstractIncomingMessage], bool]
    ) -> AbstractIncomingMessage:
        """Wait for a package like that."""
        await wait_until_async(
            lambda: any(map(wanted, self.packages.values())), DEADLINE, "a package"
        )
        return next(filter(wanted, self.packages.values()))

    async def _take(self, message: AbstractIncomingMessage) -> None:
        assert message.message_id
        self.arrivals.append((message.routing_key or "", message.message_id))
        self.packages[message.message_id] = message
        if self.sends_receipts:
            await self.receipt(message.message_id, str(message.headers["lt-sha256"]))
        await message.ack()

    async def _hear(self, message: AbstractIncomingMessage) -> None:
        self.answers[message.correlation_id or ""] = message
        await message.ack()


def signed_path(account: Account, audience: str, sha256: str, seconds: float = 300) -> str:
    """The path of an address that the partner signs itself."""
    expires = str(int(time.time() + seconds))
    parts = (b"lienthong claim check 1", sha256.encode(), audience.encode(), expires.encode())
    message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    key = hashlib.sha256(account.secret.encode()).digest()
    mac = hmac.new(key, message, hashlib.sha256).digest()
    signature = base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
    query = {"audience": audience, "expires": expires, "signature": signature}
    return f"/v1/claims/{sha256}?{urlencode(query)}"


def amqp_gateway(site: Site, rabbitmq: RabbitMq, **settings: Any) -> GatewayProcess:
    """A gateway of this site, started, that knows the management API."""
    return site.gateway(broker_admin_url=rabbitmq.admin_url, **settings).start()
