"""Clients at work while things break: some hand in, others list, fetch and confirm."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256

from tests.faults.checker import Got, History, Sent
from tests.support import packages
from tests.support.agency_client import AgencyClient, NoAnswer
from tests.support.servers import wait_until
from tests.support.service import GatewayProcess, Site

SENDER = "000.00.00.G22"
CODES = {"nghe_an": "000.00.00.H41", "quang_nam": "H53.13"}
AGENCIES: dict[str, tuple[str, ...]] = {
    "vpcp": (SENDER,),
    **{name: (code,) for name, code in CODES.items()},
}
#: Seconds for which a client goes on trying.
PATIENCE = 60.0


def package(number: int, names: Sequence[str] = tuple(CODES)) -> Sent:
    """The package of this number, for these connections."""
    document_id = f"{SENDER},2026/11/02,{number}/CV-FAULT"
    content = packages.document(
        SENDER,
        [CODES[name] for name in names],
        document_id,
        subject=f"Văn bản số {number}",
        priority=int(number % 5 == 0),
        files=[packages.File(f"{number}.pdf", packages.pdf(f"nội dung {number}", 2000))],
    )
    return Sent(document_id, content, tuple(names))


class Workload:
    """`senders` threads hand in numbered packages; each recipient has a thread of its own."""

    def __init__(
        self,
        site: Site,
        gateways: GatewayProcess | Sequence[GatewayProcess],
        history: History,
        count: int = 0,
        senders: int = 8,
    ) -> None:
        self.history = history
        self.count = count
        self._numbers = iter(range(count))
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._client = site.client("vpcp", gateways, PATIENCE)
        self._senders = [
            threading.Thread(target=self._hand_in, daemon=True) for _ in range(senders)
        ]
        self._recipients = [
            threading.Thread(
                target=self._receive,
                args=(name, site.client(name, gateways, PATIENCE)),
                daemon=True,
            )
            for name in CODES
        ]

    @contextmanager
    def running(self) -> Iterator[Workload]:
        """Start the threads; at the end they are stopped, whatever happened."""
        for thread in (*self._senders, *self._recipients):
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in (*self._senders, *self._recipients):
                thread.join(PATIENCE + 30)

    def at(self, acknowledged: int) -> None:
        """Wait until so many packages were acknowledged; strange answers end the run."""
        wait_until(
            lambda: self.history.acknowledged() >= acknowledged or self.history.unexpected,
            90,
            f"{acknowledged} acknowledged packages",
        )
        assert not self.history.unexpected, self.history.unexpected[:3]

    def drain(self, deadline: float = 90.0) -> None:
        """Wait until everything was handed in and arrived; what is late then counts as lost."""

        def done() -> bool:
            handed_in = not any(thread.is_alive() for thread in self._senders)
            return bool(self.history.unexpected) or (handed_in and self.history.complete())

        try:
            wait_until(done, deadline, "everything to arrive", interval=0.05)
        except TimeoutError:
            return

    @property
    def busy(self) -> bool:
        """Whether packages are still being handed in or on their way."""
        return any(thread.is_alive() for thread in self._senders) or not self.history.complete()

    def hand_in(self, number: int) -> None:
        """One more package, from a client of its own."""
        thread = threading.Thread(target=self._one, args=(package(number),), daemon=True)
        self._senders.append(thread)
        thread.start()

    def _hand_in(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                number = next(self._numbers, None)
            if number is None:
                return
            self._one(package(number))

    def _one(self, sent: Sent) -> None:
        self.history.attempt(sent)
        try:
            self.history.answer(sent, self._client.submit(sent.content))
        except NoAnswer as error:
            self.history.strange(f"submit {sent.document_id}: {error}")

    def _receive(self, name: str, client: AgencyClient) -> None:
        try:
            while not self._stop.is_set():
                receive_once(name, client, self.history)
        except (NoAnswer, AssertionError) as error:
            self.history.strange(f"{name}: {error}")


def receive_once(name: str, client: AgencyClient, history: History, wait: int = 1) -> None:
    """One look into the inbox: fetch and confirm what is there."""
    for item in client.inbox(wait=wait)["items"]:
        answer = client.fetch(item["id"])
        if answer.status != 200:
            history.strange(f"{name} fetch {item['id']}: {answer!r}")
            continue
        digest = sha256(answer.body).hexdigest()
        got = Got(item["id"], item["packageId"], item["documentId"], digest)
        history.fetch(name, got, answer)
        history.confirm(name, item["id"], client.confirm(item["id"]))


def moments(rng: random.Random, count: int, over: int) -> list[int]:
    """`count` random moments of a run, told by how many packages are acknowledged by then."""
    return sorted(rng.sample(range(over // 50 + 1, over * 19 // 20), count))
