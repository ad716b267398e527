"""The demonstration: a service of its own, three agencies, one document from end to end.

Everything goes through the doors that partners and operators use: connections through the database,
packages through REST. The service is a child process that ends with the demonstration, whatever
happens; its data lie in a temporary folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from envelopes.compose import compose_bytes
from envelopes.model import (
    VIETNAM_TIME,
    Attachment,
    Code,
    Document,
    DocumentType,
    OtherInfo,
    Party,
    Reference,
    SignerInfo,
    TraceHeader,
)
from gateway import clock
from gateway.cli.registration import NotAdded, add_connection
from gateway.cli.session import open_session
from gateway.client import Content, GatewayClient, Problem, open_client
from gateway.demo_stage import (
    DemoFailed,
    Demonstration,
    good,
    inbox,
    service,
    settings_in,
    text_of,
    until_ready,
)
from gateway.settings import Settings

#: Seconds that a package may take from one agency to the other.
TRANSFER_SECONDS = 10

SENDER = Party("H41", "Ủy ban nhân dân tỉnh Nghệ An", email="vanthu@nghean.example")
WORKER = Party("H41.13", "Sở Nội vụ tỉnh Nghệ An")
REFUSER = Party("G22", "Văn phòng Chính phủ")
REASON = "Gửi nhầm cơ quan: việc này thuộc Bộ Nội vụ"


@dataclass(frozen=True, slots=True)
class _Partner:
    """One agency's software in the demonstration."""

    party: Party
    name: str
    client: GatewayClient


def run_demo(language: str = "en", *, verbose: bool = False) -> int:
    """Run it; the exit code. Prints a line for every step."""
    return _Demo(language, verbose=verbose).perform()


class _Demo(Demonstration):
    """The road of one document."""

    async def _play(self, folder: Path) -> None:
        settings = settings_in(folder)
        url = f"http://{settings.listen}"
        async with service(settings, folder), open_client(url, "") as probe:
            await until_ready(probe, folder)
            self._step(f"The service runs at {url} on SQLite, in {folder}.", "serve")
            await self._road(settings, url)

    async def _road(self, settings: Settings, url: str) -> None:
        tokens = [
            await self._connect(settings, f"QLVB {party.organ_id}", party)
            for party in (SENDER, WORKER, REFUSER)
        ]
        async with (
            open_client(url, tokens[0]) as first,
            open_client(url, tokens[1]) as second,
            open_client(url, tokens[2]) as third,
        ):
            sender = _Partner(SENDER, f"QLVB {SENDER.organ_id}", first)
            worker = _Partner(WORKER, f"QLVB {WORKER.organ_id}", second)
            refuser = _Partner(REFUSER, f"QLVB {REFUSER.organ_id}", third)
            await self._exchange(settings, sender, worker, refuser)

    async def _connect(self, settings: Settings, name: str, party: Party) -> str:
        async with open_session(settings) as session:
            answer = await add_connection(
                session,
                name,
                [party.organ_id],
                {party.organ_id: party.organ_name},
                operator="demo",
            )
        if isinstance(answer, NotAdded):
            raise DemoFailed(answer.reason)
        self._step(
            f"{party.organ_name} ({party.organ_id}) gets a connection and a token.",
            f'connections add "{name}" --agency {party.organ_id} '
            f'--agency-name "{party.organ_name}"',
        )
        return answer.token

    async def _exchange(
        self, settings: Settings, sender: _Partner, worker: _Partner, refuser: _Partner
    ) -> None:
        package = sample_package(clock.now())
        sent = good(await sender.client.send(package))
        digest = hashlib.sha256(package).hexdigest()
        self._step(
            f"{SENDER.organ_name} hands in document {sent['documentId']} "
            f"({len(package)} bytes, SHA-256 {digest[:12]}…) for two agencies.",
            "send document.edxml",
        )
        for partner in (worker, refuser):
            delivery = await self._receive(partner, digest)
            if partner is worker:
                for code, words in (("01", "arrived"), ("03", "accepted"), ("06", "finished")):
                    await self._report(partner, delivery, code, words)
            else:
                await self._report(partner, delivery, "02", "refused", REASON)
        await self._read_reports(sender, 4)
        await self._tell(settings, sent["documentId"], "What happened, from the event log:")

    async def _receive(self, partner: _Partner, digest: str) -> str:
        """List, fetch, compare, confirm; the delivery's id."""
        item = (await inbox(partner.client, 1, TRANSFER_SECONDS))[0]
        name = partner.party.organ_name
        self._step(f"{name} finds it in its inbox: «{item['subject']}».", "inbox --wait 10")
        received = bytearray()
        got = await partner.client.fetch(item["id"], received.extend)
        if isinstance(got, Problem):
            raise DemoFailed(text_of(got))
        if got != Content(digest, len(received)) or hashlib.sha256(received).hexdigest() != digest:
            raise DemoFailed(f"{name} received other bytes than were sent")
        self._step(
            f"{name} fetches it: {got.size} bytes, the same SHA-256, byte for byte.",
            f"fetch {item['id']} -o document.edxml",
        )
        confirmed = good(await partner.client.confirm(item["id"]))
        self._step(
            f"{name} confirms that it has the whole package: {confirmed['state']}.",
            f"confirm {item['id']}",
        )
        return str(item["id"])

    async def _report(
        self, partner: _Partner, delivery: str, code: str, words: str, reason: str = ""
    ) -> None:
        good(await partner.client.report(delivery, code, reason))
        because = f": {reason}" if reason else ""
        option = f' --reason "{reason}"' if reason else ""
        self._step(
            f"{partner.party.organ_name} reports {code} ({words}){because}.",
            f"report {delivery} --status {code}{option}",
        )

    async def _read_reports(self, sender: _Partner, count: int) -> None:
        items = await inbox(sender.client, count, TRANSFER_SECONDS)
        for item in items:
            got = await sender.client.fetch(item["id"], lambda block: None)
            if isinstance(got, Problem):
                raise DemoFailed(text_of(got))
            good(await sender.client.confirm(item["id"]))
            self._step(
                f"{SENDER.organ_name} fetches status {item['meaning']} of {item['senderName']}.",
                f"fetch {item['id']} -o status.edxml && lienthong confirm {item['id']}",
            )


# --- the sample -----------------------------------------------------------------------------------


def sample_package(now: datetime, recipients: Sequence[Party] = (WORKER, REFUSER)) -> bytes:
    """A document of the demonstration's own making, dated today, with one small attachment."""
    local = now.astimezone(VIETNAM_TIME)
    content = _sample_file()
    number, notation = local.strftime("%H%M%S"), "UBND-NC"
    name = "Cong van 123-UBND-NC.pdf"
    attachment = Attachment(
        content_id="file-1",
        name=name,
        content_type="application/pdf",
        description="Công văn",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    document = Document(
        sender=SENDER,
        recipients=tuple(recipients),
        document_id=f"{SENDER.organ_id},{local:%Y/%m/%d},{number}/{notation}",
        code=Code(number, notation),
        place="Nghệ An",
        promulgation_date=local.date(),
        document_type=DocumentType(type="1", type_name="Công văn"),
        subject="V/v sắp xếp lại các đơn vị sự nghiệp công lập",
        content="V/v sắp xếp lại các đơn vị sự nghiệp công lập",
        signer=SignerInfo("TM. ỦY BAN NHÂN DÂN", "Chủ tịch", "Nguyễn Văn A"),
        other_info=OtherInfo(priority=0, promulgation_amount=2, page_amount=1),
        trace=(TraceHeader(SENDER.organ_id, local.replace(microsecond=0)),),
        references=(Reference("file-1", "application/pdf", "Công văn", name),),
        attachments=(attachment,),
    )
    return compose_bytes(document, {"file-1": content})


def _sample_file() -> bytes:
    """A one-page PDF without text, as small as they come; offsets are worked out."""
    objects = (
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>",
    )
    body = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(body)
    body += b"xref\n0 4\n0000000000 65535 f \n"
    body += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    body += b"trailer\n<</Size 4/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % start
    return bytes(body)
