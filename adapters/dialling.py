"""Dialling with open eyes: an HTTP connector that looks at each address right before it dials it.

Neither a literal address nor a name whose answer changes gets around it (reliability 2.7): the
socket factory sees what is really dialled. Redirects and proxies are the caller's to leave off.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

import aiohttp

from adapters.webhook_addresses import Blocked, Network, check_address

#: As `socket.getaddrinfo` gives it: family, type, protocol, name, socket address.
AddressInfo = tuple[
    int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]
]

#: What aiohttp raises when there is no connection or it is lost; RuntimeError is uvloop's word for
#: some of it.
LOST = (aiohttp.ClientError, OSError, RuntimeError, TimeoutError)
#: Of these, what says that no whole request went out.
NOT_DIALLED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, RuntimeError)

#: Makes the socket for an address that may be dialled; tests record here and never dial.
Dialler = Callable[[AddressInfo], socket.socket]


def dial(info: AddressInfo) -> socket.socket:
    """A socket of the right kind; the connector connects it to the address."""
    return socket.socket(info[0], info[1], info[2])


class AddressBlocked(OSError):
    """The address that was about to be dialled must not be."""


class Guard:
    """The socket factory of one session; remembers what it blocked."""

    def __init__(self, allowed: Sequence[Network], dialler: Dialler = dial, *, tls: bool) -> None:
        self._allowed = allowed
        self._dialler = dialler
        self._tls = tls
        self.blocked: Blocked | None = None
        self.dialled = False

    def __call__(self, info: AddressInfo) -> socket.socket:
        """A socket for this address. Raises `AddressBlocked`."""
        ip, port = str(info[4][0]), int(str(info[4][1]))
        answer = check_address(ip, port, self._allowed, tls=self._tls)
        if isinstance(answer, Blocked):
            self.blocked = answer
            raise AddressBlocked(answer.sentence.en)
        self.dialled = True
        return self._dialler(info)

    def connector(self, limit: int) -> aiohttp.TCPConnector:
        """A connector that dials through this guard, `limit` connections at the most."""
        return aiohttp.TCPConnector(
            socket_factory=self,
            resolver=aiohttp.ThreadedResolver(),
            use_dns_cache=False,
            limit=limit,
        )
