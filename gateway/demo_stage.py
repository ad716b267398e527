"""What the demonstrations share: telling each step, services as child processes, clear ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click

from gateway.cli.failures import FAULT, GOOD, REFUSED, causes
from gateway.cli.output import visible
from gateway.cli.remote import problem_lines
from gateway.cli.session import open_session
from gateway.cli.trace import find_story
from gateway.client import GatewayClient, Problem
from gateway.settings import Settings
from gateway.story import Story

#: Seconds until a service must answer, and until it must have ended.
START_SECONDS = 30.0
STOP_SECONDS = 10.0
#: Longest wait of one request for an inbox.
POLL_SECONDS = 5


class DemoFailed(Exception):
    """A step did not do what it should; the message says which."""


class Demonstration(ABC):
    """Steps in order, each told with the command that does it, in a temporary folder."""

    #: Begins the folder's name.
    prefix = "lienthong-demo-"
    #: The last line.
    done = "Done: the service is stopped, the folder is removed."

    def __init__(self, language: str, *, verbose: bool) -> None:
        self._language = language
        self._verbose = verbose
        self._count = 0

    def perform(self) -> int:
        """Run it; the exit code. Prints a line for every step."""
        try:
            asyncio.run(self._run())
        except DemoFailed as error:
            click.echo(f"The demonstration stopped: {error}", err=True)
            return REFUSED
        except (KeyboardInterrupt, asyncio.CancelledError):
            click.echo("Stopped.", err=True)
            return 130
        except OSError as error:
            click.echo(f"The demonstration cannot run here: {causes(error)}", err=True)
            return FAULT
        return GOOD

    async def _run(self) -> None:
        running = asyncio.current_task()
        if running is not None:
            # A plain kill must not leave a service behind. Ctrl-C is asked for by name as well: in
            # what a script starts in the background it is ignored otherwise.
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, running.cancel)
        with tempfile.TemporaryDirectory(prefix=self.prefix) as name:
            await self._play(Path(name))
        click.echo(self.done)

    @abstractmethod
    async def _play(self, folder: Path) -> None:
        """All steps."""

    def _step(self, what: str, command: str = "") -> None:
        self._count += 1
        click.echo(visible(f"{self._count:2}. {what}"))
        if command:
            click.echo(visible(f"      $ lienthong {command}"))

    async def _tell(self, settings: Settings, document_id: str, what: str) -> None:
        """The story of a document, after the words that begin it."""
        async with open_session(settings) as session:
            story = await find_story(session, document_id)
        if not isinstance(story, Story):
            raise DemoFailed(f"document {document_id} cannot be traced")
        self._step(what, f'trace "{document_id}"')
        for line in story.text(self._language, technical=self._verbose):
            click.echo(visible(f"      {line}".rstrip()))


def settings_in(folder: Path) -> Settings:
    """Defaults alone, on a free port: what this shell is set up for must not be touched."""
    return Settings.model_construct(data_dir=folder / "data", listen=f"127.0.0.1:{free_port()}")


def good(answer: dict[str, Any] | Problem) -> dict[str, Any]:
    """The answer; raises `DemoFailed` for a problem."""
    if isinstance(answer, Problem):
        raise DemoFailed(text_of(answer))
    return answer


def text_of(problem: Problem) -> str:
    """A problem in words."""
    return "\n".join(problem_lines(problem, None))


async def inbox(client: GatewayClient, count: int, seconds: float) -> list[dict[str, Any]]:
    """What waits, once it is `count` packages; raises `DemoFailed` after so many seconds."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        items: list[dict[str, Any]] = good(await client.inbox(wait=POLL_SECONDS))["items"]
        if len(items) >= count:
            return items
        if asyncio.get_running_loop().time() > deadline:
            raise DemoFailed(f"{len(items)} of {count} packages came in {seconds:g} s")
        await asyncio.sleep(0.05)


def free_port() -> int:
    """A TCP port on loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def service(settings: Settings, folder: Path) -> AsyncIterator[None]:
    """The service with these settings and no others; ended with the block."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LIENTHONG_")},
        "LIENTHONG_DATA_DIR": str(settings.data_dir),
        "LIENTHONG_LISTEN": settings.listen,
        "LIENTHONG_MIN_FREE_MIB": "0",
        "LIENTHONG_LOG_FORMAT": "console",
    }
    with (folder / "service.log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.cli",
            "serve",
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C is for us: we end the child ourselves.
            start_new_session=True,
        )
        try:
            yield
        finally:
            await _end(child)


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is not None:
        return
    child.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await child.wait()
    except TimeoutError:
        child.kill()
        await child.wait()
    except asyncio.CancelledError:
        # Told to stop while it ends: at once then, and the demonstration was not done.
        child.kill()
        await child.wait()
        raise


async def until_ready(probe: GatewayClient, folder: Path) -> None:
    """Wait until the service is ready; raises `DemoFailed` with its log."""
    deadline = asyncio.get_running_loop().time() + START_SECONDS
    while not await probe.ready():
        if asyncio.get_running_loop().time() > deadline:
            log = await asyncio.to_thread((folder / "service.log").read_text, "utf-8", "replace")
            raise DemoFailed(f"the service did not start:\n{log[-3000:]}")
        await asyncio.sleep(0.05)
