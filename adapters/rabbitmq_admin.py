"""Preparing RabbitMQ for partners through its management HTTP API.

Not through ``rabbitmqctl``: that needs a shell on the broker's machine, Erlang and the cluster's
cookie, which opens everything; the API needs a user and a port, works across machines, containers
and clusters, and every call says exactly what it changes. All calls are idempotent.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from adapters.amqp_partner.names import Names
from adapters.dialling import LOST

#: Seconds that one call may take.
TIMEOUT = 15.0
#: Connections and channels that one partner may open.
MOST_CONNECTIONS = 20
MOST_CHANNELS = 100


class AdminProblem(Exception):
    """RabbitMQ could not be prepared; the text says what and why, without passwords."""


class RabbitMqAdmin:
    """The management API of one broker, for one virtual host."""

    def __init__(self, url: str, vhost: str) -> None:
        """`url`: http(s)://user:password@host:15672."""
        address = URL(url)
        self._shown = str(address.with_user(None).with_query(None)).rstrip("/")
        self._base = self._shown + "/api"
        credentials = aiohttp.encode_basic_auth(address.user or "", address.password or "")
        self._headers = {"Authorization": credentials}
        self._vhost = quote(vhost, safe="")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT, sock_connect=5.0)
        self._session = aiohttp.ClientSession(
            headers=self._headers, timeout=timeout, trust_env=False
        )
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def prepare_partner(self, names: Names, password: str) -> None:
        """Exchange and queues of a partner; its user too when there is a password for it.

        With an empty password the user stays as it is. Raises `AdminProblem`.
        """
        for queue in names.queues():
            body = {"durable": True, "auto_delete": False, "arguments": queue.arguments}
            await self._put(f"queues/{self._vhost}/{quote(queue.name, safe='')}", body)
        intake = quote(names.intake, safe="")
        exchange = {"type": "fanout", "durable": True, "auto_delete": False, "internal": False}
        await self._put(f"exchanges/{self._vhost}/{intake}", exchange)
        await self._call(
            "POST",
            f"bindings/{self._vhost}/e/{intake}/q/{intake}",
            {"routing_key": "", "arguments": {}},
        )
        user = quote(names.user, safe="")
        if password:
            # No tags: neither management nor impersonation (a user_id that is not its own).
            await self._put(f"users/{user}", {"password": password, "tags": ""})
        for limit, value in (
            ("max-connections", MOST_CONNECTIONS),
            ("max-channels", MOST_CHANNELS),
        ):
            await self._put(f"user-limits/{user}/{limit}", {"value": value})
        await self._put(
            f"permissions/{self._vhost}/{user}",
            {"configure": "^$", "write": names.may_write, "read": names.may_read},
        )

    async def _put(self, path: str, body: dict[str, Any]) -> None:
        await self._call("PUT", path, body)

    async def _call(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        if self._session is None:
            raise RuntimeError("use the admin in an async with block")
        # The path holds percent-encoded names, which must not be encoded again.
        url = URL(f"{self._base}/{path}", encoded=True)
        try:
            async with self._session.request(
                method, url, json=body, allow_redirects=False
            ) as answer:
                if answer.status >= 300:
                    text = (await answer.text())[:300]
                    raise AdminProblem(self._refused(method, path, answer.status, text))
                return await answer.json() if answer.status == 200 else None
        except (*LOST, ValueError) as error:
            told = str(error) or type(error).__name__
            raise AdminProblem(
                f"The management API of RabbitMQ at {self._shown} cannot be used: {told}. "
                "Is the plugin on (rabbitmq-plugins enable rabbitmq_management)? "
                "See the setting broker_admin_url."
            ) from None

    def _refused(self, method: str, path: str, status: int, text: str) -> str:
        if status == 401:
            return (
                f"RabbitMQ at {self._shown} does not let this user in (401). It needs the tag "
                "administrator, to make users: see the setting broker_admin_url."
            )
        return f"RabbitMQ at {self._shown} answered {status} to {method} {path}: {text}"
