"""Fixtures every suite may use: real servers, started once per run and only when asked for.

A server that is not installed is an error, never a skip: a run without it would prove nothing.
Tests that stop, kill or wipe a server start their own (``with RabbitMq() as server``).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.support.s3_server import S3Server
from tests.support.servers import ClamAvServer, Postgres, RabbitMq

pytest_plugins = ("tests.support.reports",)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """The PostgreSQL server of this run; tests share it, each in its own database."""
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq_server() -> Iterator[RabbitMq]:
    """The RabbitMQ node of this run; tests share it, each in its own virtual host."""
    with RabbitMq(management=True) as server:
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """The S3 server of this run; tests share it, each with its own bucket."""
    with S3Server() as server:
        yield server


@pytest.fixture(scope="session")
def clamav_server() -> Iterator[ClamAvServer]:
    """The malware scanner of this run; who stops it starts one of its own."""
    with ClamAvServer() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """SQLAlchemy URL of an empty database that only this test sees."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def amqp_url(rabbitmq_server: RabbitMq) -> Iterator[str]:
    """AMQP URL of an empty virtual host that only this test sees."""
    vhost = rabbitmq_server.create_vhost()
    yield rabbitmq_server.url(vhost)
    rabbitmq_server.delete_vhost(vhost)


@pytest.fixture
def prefix() -> str:
    """A name no other test uses, to begin the names of queues and exchanges with."""
    return f"t{secrets.token_hex(4)}"
