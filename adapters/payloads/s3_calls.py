"""Calls of an S3-compatible server: options, time limits, tries, and faults as ours."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from obstore.exceptions import BaseError
from obstore.store import S3Store

from routing.ports import PayloadMissing, PayloadsUnavailable

#: How S3 servers name what is wrong.
_SAID = re.compile(r"<Code>(\w{1,60})</Code>")

#: Told the kind of a call, its outcome (done, missing, unavailable) and its seconds.
Observe = Callable[[str, str, float], None]


class S3Problem(Exception):
    """The options cannot be used; says which and why."""


@dataclass(frozen=True, slots=True)
class S3Options:
    """Where the store is, who we are there, and how patient to be."""

    bucket: str
    prefix: str = ""
    #: Empty: AWS in `region`. Otherwise the address of the server, buckets in the path.
    endpoint: str = ""
    region: str = ""
    #: Empty: the environment (AWS_ACCESS_KEY_ID …), web identity, container or machine role.
    access_key_id: str = field(default="", repr=False)
    secret_access_key: str = field(default="", repr=False)
    connect_seconds: float = 3.0
    #: Longest time of one request.
    request_seconds: float = 20.0
    #: Longest time of one call with all its tries; uploads get a second more for each MiB.
    call_seconds: float = 30.0
    tries: int = 3


class Calls:
    """Bounds and names what happens in calls of one server."""

    def __init__(self, options: S3Options, observe: Observe | None) -> None:
        self._options = options
        self._observe = observe or (lambda call, outcome, seconds: None)

    @asynccontextmanager
    async def bounded(self, call: str, size: int = 0) -> AsyncIterator[None]:
        """A call about `size` bytes with its time limit.

        Raises `PayloadMissing` when a `get` or `head` finds no object, `PayloadsUnavailable` for
        everything else that can go wrong there.
        """
        seconds = self._options.call_seconds + size / (1024 * 1024)
        start = time.monotonic()
        outcome = "unavailable"
        try:
            async with asyncio.timeout(seconds):
                yield
            outcome = "done"
        except TimeoutError:
            raise PayloadsUnavailable(f"S3 {call}: no answer within {seconds:.0f} s") from None
        except FileNotFoundError as error:
            # Before a payload is called missing the bucket is listed, which tells a missing bucket.
            if call in ("get", "head"):
                outcome = "missing"
                raise PayloadMissing(_short(error)) from None
            raise PayloadsUnavailable(f"S3 {call}: {_short(error)}") from None
        except (BaseError, OSError) as error:
            raise PayloadsUnavailable(f"S3 {call}: {_short(error)}") from None
        finally:
            self._observe(call, outcome, time.monotonic() - start)


def open_store(options: S3Options) -> S3Store:
    """The client. Raises `S3Problem` for options that it does not take."""
    seconds = timedelta(seconds=1)
    config: dict[str, Any] = {
        "region": options.region or None,
        "endpoint": options.endpoint or None,
        "access_key_id": options.access_key_id or None,
        "secret_access_key": options.secret_access_key or None,
        "virtual_hosted_style_request": not options.endpoint,
        "checksum_algorithm": "SHA256",
    }
    try:
        return S3Store(
            options.bucket,
            prefix=options.prefix or None,
            client_options={
                "allow_http": options.endpoint.startswith("http://"),
                "connect_timeout": options.connect_seconds * seconds,
                "timeout": options.request_seconds * seconds,
            },
            retry_config={
                "max_retries": options.tries - 1,
                "retry_timeout": options.call_seconds * seconds,
                "backoff": {
                    "init_backoff": 0.1 * seconds,
                    "max_backoff": 2 * seconds,
                    "base": 2,
                },
            },
            **{name: value for name, value in config.items() if value is not None},
        )
    except BaseError as error:
        raise S3Problem(_short(error)) from None


def _short(error: BaseException) -> str:
    """What the server calls it, and the first line: the rest repeats it with the library's insides.

    An address of ours stands there, never a credential.
    """
    text = str(error).strip()
    said = _SAID.search(text)
    first = text.partition("\n")[0].partition(": <?xml")[0] or type(error).__name__
    return f"{said[1]}: {first}"[:300] if said else first[:300]
