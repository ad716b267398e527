"""Verifying processes: started once, used by one job at a time, killed and replaced when stuck.

`concurrent.futures` cannot end a single process that hangs, so this pool is our own: processes
speak over pipes, and the time limit is kept by the event loop, which never waits for them.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.signatures.jobs import EXIT_MEMORY, Job, answer_length, packed
from envelopes.signature_facts import Reason

#: Seconds that a process may take to load what it needs.
_START_SECONDS = 60.0
#: What of our environment a worker is given.
_ENVIRONMENT = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT")


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """Bounds of the verifying processes."""

    #: How many there are.
    workers: int = 2
    #: Seconds that one file (or the XML signature, or opening all files) may take.
    seconds: float = 20.0
    #: Address space of one process.
    memory_mib: int = 1024
    #: Jobs after which a process is replaced, against what libraries leak.
    jobs: int = 500


class WorkerFailed(Exception):
    """The process did not answer; it has been ended. `reason` says why."""

    def __init__(self, reason: Reason, detail: str, *, opened: bool = False) -> None:
        super().__init__(detail)
        self.reason = reason
        #: Whether all files of the job lay open: then a single one is to blame.
        self.opened = opened


class Worker:
    """One verifying process."""

    def __init__(self, process: asyncio.subprocess.Process, limits: WorkerLimits) -> None:
        self._process = process
        self._limits = limits
        self.stamp = ""
        self.jobs = 0
        #: Whether it waits for a request: not so after a failure or in the middle of a job.
        self.idle = True

    @classmethod
    async def start(cls, limits: WorkerLimits, folder: Path | None) -> Worker:
        """Start a process. Raises OSError."""
        environment = {key: os.environ[key] for key in _ENVIRONMENT if key in os.environ}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "adapters.signatures.worker",
            str(limits.memory_mib),
            str(limits.seconds),
            str(folder or ""),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment,
            limit=1024 * 1024,
        )
        worker = cls(process, limits)
        with ExitStack() as undo:
            undo.callback(worker.kill)
            try:
                await worker._answer(_START_SECONDS)
            except WorkerFailed as failure:
                raise OSError(f"a verifying process did not start: {failure}") from failure
            undo.pop_all()
        return worker

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    async def set_up(self, stamp: str, setup: bytes) -> None:
        """Tell it what certificates are judged by, where that is news."""
        if stamp != self.stamp:
            await self._send(setup)
            self.stamp = stamp

    async def run(self, job: Job) -> AsyncGenerator[dict[str, Any], None]:
        """The answers to `job`, in order; the caller knows how many there are.

        Raises WorkerFailed; the process is gone then.
        """
        self.idle = False
        self.jobs += 1
        await self._send(packed(job))
        while True:
            yield await self._answer(self._limits.seconds)

    async def _send(self, data: bytes) -> None:
        stdin = self._process.stdin
        if stdin is None:
            raise AssertionError("the worker was started with pipes")
        try:
            async with asyncio.timeout(self._limits.seconds):
                stdin.write(data)
                await stdin.drain()
        except (TimeoutError, OSError) as error:
            raise await self._failed(error) from error

    async def _answer(self, seconds: float) -> dict[str, Any]:
        stdout = self._process.stdout
        if stdout is None:
            raise AssertionError("the worker was started with pipes")
        try:
            async with asyncio.timeout(seconds):
                length = answer_length(await stdout.readexactly(4))
                answer = json.loads(await stdout.readexactly(length))
                return dict(answer)
        except (TimeoutError, OSError, ValueError, TypeError, asyncio.IncompleteReadError) as error:
            raise await self._failed(error) from error

    async def _failed(self, error: Exception) -> WorkerFailed:
        timed_out = isinstance(error, TimeoutError)
        if timed_out:
            self.kill()
        code = await self.end()
        if timed_out:
            return WorkerFailed(Reason.TIME_LIMIT, f"longer than {self._limits.seconds:g} s")
        if code == EXIT_MEMORY:
            return WorkerFailed(Reason.MEMORY_LIMIT, f"more than {self._limits.memory_mib} MiB")
        return WorkerFailed(Reason.WORKER_DIED, f"the process ended with {code}")

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> int:
        """Wait for it to end, by force after a moment; how it ended."""
        self.idle = False
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(2):
                return await self._process.wait()
        except TimeoutError:
            self.kill()
            return await self._process.wait()


class WorkerPool:
    """As many workers as allowed, started when first needed."""

    def __init__(self, limits: WorkerLimits, folder: Path | None = None) -> None:
        self.limits = limits
        self._folder = folder
        self._free: list[Worker] = []
        self._all: set[Worker] = set()
        self._slots = asyncio.Semaphore(limits.workers)
        self._closed = False

    async def start(self) -> None:
        """Start all workers now."""
        while len(self._all) < self.limits.workers:
            self._free.append(await self._start())

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that are there now."""
        return tuple(worker.pid for worker in self._all)

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Worker]:
        """A worker for one job; one left in the middle of something is ended."""
        async with self._slots:
            if self._closed:
                raise RuntimeError("the pool is closed")
            worker = self._free.pop() if self._free else await self._start()
            try:
                yield worker
            finally:
                await self._give_back(worker)

    async def _start(self) -> Worker:
        worker = await Worker.start(self.limits, self._folder)
        self._all.add(worker)
        return worker

    async def _give_back(self, worker: Worker) -> None:
        if worker.idle and worker.jobs < self.limits.jobs and not self._closed:
            self._free.append(worker)
            return
        self._all.discard(worker)
        worker.kill()
        await asyncio.shield(worker.end())

    async def close(self) -> None:
        """End all workers; those at work as well."""
        self._closed = True
        for worker in list(self._all):
            worker.kill()
        for worker in list(self._all):
            await worker.end()
        self._all.clear()
        self._free.clear()
