"""Real servers for the tests: PostgreSQL, RabbitMQ, ClamAV, and a TCP proxy to misbehave.

Everything is usable from pytest fixtures and from plain scripts alike::

    with Postgres() as postgres, RabbitMq() as rabbitmq:
        url = postgres.create_database()

Servers run in temporary folders, on loopback, on free ports, and are ended by their own pid; what
is left over when a test run is interrupted (even by SIGKILL) is ended by :mod:`.janitor`.
"""

from tests.support.servers.clamav import EICAR, THREAT, ClamAvServer
from tests.support.servers.flaky_proxy import FlakyProxy
from tests.support.servers.postgres import Postgres
from tests.support.servers.processes import (
    Child,
    Finished,
    ServerMissing,
    ServerTrouble,
    free_port,
    run,
)
from tests.support.servers.rabbitmq import RabbitMq
from tests.support.servers.waiting import wait_until, wait_until_async

__all__ = [
    "EICAR",
    "THREAT",
    "Child",
    "ClamAvServer",
    "Finished",
    "FlakyProxy",
    "Postgres",
    "RabbitMq",
    "ServerMissing",
    "ServerTrouble",
    "free_port",
    "run",
    "wait_until",
    "wait_until_async",
]
