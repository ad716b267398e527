"""A partner over RabbitMQ: its software, written from the docs, and the running gateway."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import aio_pika
import pytest
from aio_pika.exceptions import AMQPError
from aiormq.exceptions import ChannelAccessRefused, ChannelPreconditionFailed

from gateway.rest.operations import openapi_document
from routing.route_table import ConnectionStatus
from tests.support import packages
from tests.support.agency_client import AgencyClient
from tests.support.amqp_software import (
    DEADLINE,
    Account,
    AmqpSoftware,
    add_partner,
    amqp_gateway,
    command,
    signed_path,
)
from tests.support.contract import validator
from tests.support.packages import new_id
from tests.support.servers import RabbitMq, wait_until, wait_until_async
from tests.support.service import GatewayProcess, Site, open_site

OFFICE = "000.00.00.G22"
NGHE_AN = "000.00.00.H41"
QUANG_NAM = "H53.13"


@dataclass
class Place:
    """A gateway, two partners over RabbitMQ, an office that pulls."""

    site: Site
    gateway: GatewayProcess
    office: AgencyClient
    nghe_an: Account
    quang_nam: Account
    rabbitmq: RabbitMq

    def letter(self, *to: str, sender: str = OFFICE, **more: Any) -> bytes:
        """A document with an id of its own."""
        return packages.document(sender, to or (NGHE_AN,), new_id(sender), **more)

    async def submit(self, package: bytes) -> dict[str, Any]:
        """The office hands in; the answer."""
        answer = await asyncio.to_thread(self.office.submit, package)
        assert answer.status in (200, 202), answer
        return answer.json

    async def state(self, delivery_id: str) -> str:
        """A delivery's state as the office sees it."""
        row = await asyncio.to_thread(self.office.delivery, delivery_id)
        return str(row["state"])

    async def until_state(self, delivery_id: str, wanted: str) -> None:
        """Wait for a state."""

        async def there() -> bool:
            return await self.state(delivery_id) == wanted

        await wait_until_async(there, 30, f"{delivery_id} to be {wanted}")

    def http(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """A request without a token."""
        link = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=30)
        try:
            link.request(method, path, body)
            answer = link.getresponse()
            return answer.status, answer.read()
        finally:
            link.close()


@pytest.fixture(scope="module")
def place(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    rabbitmq_server: RabbitMq,
) -> Iterator[Place]:
    """One gateway with its partners; shared by the module."""
    with open_site("production", tmp_path_factory.mktemp("amqp"), request) as site:
        site.connect(office=(OFFICE,))
        small = ("inline_kib=64", "breaker_failures=100")
        nghe_an = add_partner(site, rabbitmq_server, "QLVB Nghệ An", NGHE_AN, options=small)
        quang_nam = add_partner(site, rabbitmq_server, "QLVB Nghe An", QUANG_NAM, options=small)
        waits = " ".join(["1s"] * 30)
        gateway = amqp_gateway(site, rabbitmq_server, relay_poll_seconds=0.2, attempt_waits=waits)
        office = site.client("office", gateway)
        yield Place(site, gateway, office, nghe_an, quang_nam, rabbitmq_server)


async def test_a_partner_sends_and_is_answered_and_gets_the_status_back(place: Place) -> None:
    """Accepted with ids; the same bytes again are repeated; the report comes as a package."""
    letter = place.letter(OFFICE, sender=NGHE_AN)
    async with AmqpSoftware(place.nghe_an) as software:
        outcome, first = await software.answer(await software.send(letter))
        assert outcome == "accepted" and first["repeated"] is False
        schema = openapi_document()["components"]["schemas"]["Submission"]
        assert not list(validator(openapi_document(), schema).iter_errors(first))
        assert first["sha256"] == hashlib.sha256(letter).hexdigest()
        outcome, again = await software.answer(await software.send(letter))
        assert outcome == "accepted" and again["repeated"] is True and again["id"] == first["id"]
        got = await asyncio.to_thread(place.office.receive, 1)
        assert list(got.values()) == [letter]
        answer = await asyncio.to_thread(place.office.report, next(iter(got)), "03", "đã nhận")
        assert answer.status in (200, 202), answer
        report = await software.package(lambda one: one.headers["lt-kind"] == "status")
        assert report.headers["lt-meaning"] == "03"
        assert b"<edXML:StatusCode>03" in report.body


async def test_a_package_is_delivered_when_the_partner_says_so(place: Place) -> None:
    """Not by the confirm of the broker; a receipt for other bytes counts for nothing."""
    letter = place.letter(subject="Về việc xác nhận")
    digest = hashlib.sha256(letter).hexdigest()
    async with AmqpSoftware(place.nghe_an, sends_receipts=False) as software:
        sent = await place.submit(letter)
        [delivery] = sent["deliveries"]
        message = await software.package(lambda one: one.message_id == delivery["id"])
        assert message.body == letter and message.type == "package"
        assert message.headers == {
            "lt-package-id": sent["id"],
            "lt-document-id": sent["documentId"],
            "lt-kind": "document",
            "lt-meaning": "0",
            "lt-lane": "ordinary",
            "lt-sender": OFFICE,
            "lt-recipient": NGHE_AN,
            "lt-sha256": digest,
            "lt-size": len(letter),
            "lt-version": 1,
        }
        assert await place.state(delivery["id"]) == "delivering"
        wrong = await software.receipt(delivery["id"], "0" * 64)
        outcome, problem = await software.answer(wrong)
        assert (outcome, problem["code"]) == ("refused", "wrong-digest")
        assert await place.state(delivery["id"]) == "delivering"
        outcome, body = await software.answer(await software.receipt(delivery["id"], digest))
        assert (outcome, body["repeated"]) == ("recorded", False)
        assert await place.state(delivery["id"]) == "delivered"
        outcome, body = await software.answer(await software.receipt(delivery["id"], digest))
        assert (outcome, body["repeated"]) == ("recorded", True)


async def test_nobody_confirms_for_another(place: Place) -> None:
    """A receipt over another connection is answered as if there were no such delivery."""
    letter = place.letter()
    async with (
        AmqpSoftware(place.nghe_an, sends_receipts=False) as theirs,
        AmqpSoftware(place.quang_nam) as other,
    ):
        [delivery] = (await place.submit(letter))["deliveries"]
        await theirs.package(lambda one: one.message_id == delivery["id"])
        forged = await other.receipt(delivery["id"], hashlib.sha256(letter).hexdigest())
        outcome, problem = await other.answer(forged)
        assert (outcome, problem["code"]) == ("refused", "not-found")
        assert await place.state(delivery["id"]) == "delivering"
        await theirs.receipt(delivery["id"], hashlib.sha256(letter).hexdigest())
        await place.until_state(delivery["id"], "delivered")


async def test_a_refusal_of_the_partner_reaches_the_sender(place: Place) -> None:
    """The delivery is returned with the reason, and the sender gets a status 02."""
    async with AmqpSoftware(place.nghe_an, sends_receipts=False) as software:
        letter = place.letter(subject="Gửi nhầm")
        [delivery] = (await place.submit(letter))["deliveries"]
        await software.package(lambda one: one.message_id == delivery["id"])
        digest = hashlib.sha256(letter).hexdigest()
        told = await software.receipt(delivery["id"], digest, "refused", "Không đúng thẩm quyền")
        assert (await software.answer(told))[0] == "recorded"
        await place.until_state(delivery["id"], "returned")
        row = await asyncio.to_thread(place.office.delivery, delivery["id"])
        assert row["reason"]["vi"] == "Không đúng thẩm quyền"
        got = await asyncio.to_thread(place.office.receive, 1)
        [report] = got.values()
        assert b"<edXML:StatusCode>02" in report and "Không đúng thẩm quyền".encode() in report


async def test_urgent_packages_have_a_queue_of_their_own(place: Place) -> None:
    """Quorum queues know no priorities; the partner consumes both."""
    async with AmqpSoftware(place.nghe_an) as software:
        [delivery] = (await place.submit(place.letter(priority=3)))["deliveries"]
        await software.package(lambda one: one.message_id == delivery["id"])
        assert (f"{place.nghe_an.base}.inbox.urgent", delivery["id"]) in software.arrivals
        await place.until_state(delivery["id"], "delivered")


async def test_a_large_package_is_fetched_at_a_signed_address(place: Place) -> None:
    """The message is a claim check; the address is the recipient's, genuine, and not for ever."""
    letter = place.letter(files=[packages.File("lon.pdf", packages.pdf("lớn", 200_000))])
    digest = hashlib.sha256(letter).hexdigest()
    async with AmqpSoftware(place.nghe_an, sends_receipts=False) as software:
        [delivery] = (await place.submit(letter))["deliveries"]
        message = await software.package(lambda one: one.message_id == delivery["id"])
        assert message.content_type == "application/vnd.lienthong.claim-check+json"
        assert len(message.body) < 1000
        check = json.loads(message.body)
        assert (check["sha256"], check["size"]) == (digest, len(letter))
        path = check["url"].removeprefix(place.gateway.url)

        async def get(address: str) -> tuple[int, bytes]:
            return await asyncio.to_thread(place.http, "GET", address)

        assert await get(path) == (200, letter)
        own = signed_path(place.nghe_an, f"{place.nghe_an.user} get {delivery['id']}", digest)
        assert await get(own) == (200, letter), "the partner signs one for itself"
        theirs = place.quang_nam
        bad = [
            path[:-2] + ("AA" if path[-2:] != "AA" else "BB"),
            path.replace(digest, "0" * 64),
            path.replace(delivery["id"], "01a1fe36-0765-738f-a488-810bb24c09e9"),
            signed_path(theirs, f"{place.nghe_an.user} get {delivery['id']}", digest),
            signed_path(place.nghe_an, f"{place.nghe_an.user} put {delivery['id']}", digest),
            signed_path(place.nghe_an, f"{place.nghe_an.user} get {delivery['id']}", digest, -5),
            f"/v1/claims/{digest}",
        ]
        for address in bad:
            status, body = await get(address)
            assert (status, json.loads(body)["code"]) == (403, "claim-not-valid"), address
        not_theirs = signed_path(theirs, f"{theirs.user} get {delivery['id']}", digest)
        assert (await get(not_theirs))[0] == 404
        await software.receipt(delivery["id"], digest)
        await place.until_state(delivery["id"], "delivered")


async def test_a_large_package_is_handed_in_at_a_signed_address(place: Place) -> None:
    """Above the limit a message is refused with a word how; PUT takes exactly the signed bytes."""
    file = packages.File("lon.pdf", packages.pdf("lớn", 200_000))
    letter = place.letter(OFFICE, sender=NGHE_AN, files=[file])
    digest = hashlib.sha256(letter).hexdigest()
    async with AmqpSoftware(place.nghe_an) as software:
        outcome, problem = await software.answer(await software.send(letter))
        assert (outcome, problem["code"]) == ("refused", "too-large-for-message")
        assert problem["setting"] == "inline_kib"
    path = signed_path(place.nghe_an, f"{place.nghe_an.user} put ", digest)
    status, body = await asyncio.to_thread(place.http, "PUT", path, letter + b" ")
    assert (status, json.loads(body)["code"]) == (409, "wrong-digest")
    status, body = await asyncio.to_thread(place.http, "PUT", path, letter)
    assert status == 202 and json.loads(body)["sha256"] == digest
    status, body = await asyncio.to_thread(place.http, "PUT", path, letter)
    assert status == 200 and json.loads(body)["repeated"] is True
    assert letter in (await asyncio.to_thread(place.office.receive, 1)).values()


async def test_a_package_in_anothers_name_is_refused(place: Place) -> None:
    """From is not the connection's: the answer says so, nothing travels."""
    async with AmqpSoftware(place.nghe_an) as software:
        spoofed = place.letter(OFFICE, sender=QUANG_NAM)
        outcome, problem = await software.answer(await software.send(spoofed))
        assert (outcome, problem["code"]) == ("refused", "not-the-sender")
        broken = place.letter(OFFICE, sender=NGHE_AN)[:700]
        outcome, problem = await software.answer(await software.send(broken))
        assert (outcome, problem["code"]) == ("refused", "invalid-package")
        assert problem["findings"]


async def test_poison_is_dead_lettered_with_the_reason_and_holds_up_nothing(place: Place) -> None:
    """No user_id, no known type, an unreadable receipt: each with its reason."""
    letter = place.letter(OFFICE, sender=NGHE_AN)
    async with AmqpSoftware(place.nghe_an) as software:
        await software.send(letter, user=None)
        await software.send(letter, kind="letter")
        await software.send(b"[]", kind="receipt")
        assert (await software.answer(await software.send(letter)))[0] == "accepted"
    link = await aio_pika.connect(place.site.broker_url)
    async with link:
        channel = await link.channel()
        queue = await channel.get_queue(f"{place.nghe_an.base}.dead")
        reasons = []
        for _ in range(3):
            dead = await queue.get(timeout=10)
            reasons.append(str(dead.headers["lt-reason"]))
            await dead.ack()
        assert await queue.get(fail=False) is None
    said = ("user_id is missing", "type is 'letter'", "header lt-outcome")
    told = [reason.startswith(start) for reason, start in zip(reasons, said, strict=True)]
    assert told == [True] * 3, reasons
    assert len(await asyncio.to_thread(place.office.receive, 1)) == 1
    assert "amqp.dead-lettered" in place.gateway.log.read_text()


async def test_rabbitmq_keeps_partners_apart(place: Place) -> None:
    """Another's queues, exchange and name, the default exchange, new queues: all refused."""
    mine, theirs = place.nghe_an, place.quang_nam
    link = await aio_pika.connect(mine.address)
    async with link:

        async def refused(work: Any) -> None:
            channel = await link.channel()
            # 403 ACCESS_REFUSED; 406 for a user_id that is not its own.
            with pytest.raises((ChannelAccessRefused, ChannelPreconditionFailed)):
                await asyncio.wait_for(work(channel), 10)

        async def ignore(_: Any) -> None:
            """Nothing ever comes."""

        async def consume(channel: Any, name: str) -> None:
            queue = await channel.get_queue(name, ensure=False)
            await queue.consume(ignore)

        async def publish(channel: Any, exchange: str, key: str, user: str | None = None) -> None:
            target = (
                await channel.get_exchange(exchange, ensure=False)
                if exchange
                else channel.default_exchange
            )
            message = aio_pika.Message(b"x", type="package", message_id="m", user_id=user)
            await target.publish(message, key, timeout=5)

        for part in ("inbox", "answers", "intake", "dead"):
            await refused(lambda channel, part=part: consume(channel, f"{theirs.base}.{part}"))
        await refused(lambda channel: consume(channel, f"{mine.base}.dead"))
        await refused(lambda channel: consume(channel, f"{mine.base}.intake"))
        await refused(lambda channel: publish(channel, f"{theirs.base}.intake", ""))
        await refused(lambda channel: publish(channel, "", f"{theirs.base}.inbox"))
        await refused(lambda channel: publish(channel, f"{mine.base}.intake", "", theirs.user))
        await refused(lambda channel: channel.declare_queue("mine"))
        await refused(lambda channel: channel.declare_queue(exclusive=True))


async def test_a_partner_that_was_away_gets_what_waited_once(place: Place) -> None:
    """Published once while nobody consumes; its receipt, late as it is, makes it delivered."""
    letter = place.letter()
    [delivery] = (await place.submit(letter))["deliveries"]
    await place.until_state(delivery["id"], "delivering")
    async with AmqpSoftware(place.nghe_an) as software:
        await software.package(lambda one: one.message_id == delivery["id"])
        await place.until_state(delivery["id"], "delivered")
        assert len([one for _, one in software.arrivals if one == delivery["id"]]) == 1


async def test_a_crash_of_the_gateway_loses_no_message_and_doubles_no_package(
    place: Place,
) -> None:
    """SIGKILL while messages come: each is answered in the end, each package recorded once."""
    letters = [place.letter(OFFICE, sender=QUANG_NAM) for _ in range(40)]
    async with AmqpSoftware(place.quang_nam) as software:
        sent = [await software.send(letter) for letter in letters]
        await wait_until_async(lambda: len(software.answers) >= 5, DEADLINE, "the first answers")
        place.gateway.kill()
        assert len(software.answers) < len(letters), "killed too late to prove anything"
        place.gateway.start()
        answers = [await software.answer(message_id) for message_id in sent]
    assert {outcome for outcome, _ in answers} == {"accepted"}
    got = await asyncio.to_thread(place.office.receive, len(letters))
    assert sorted(got.values()) == sorted(letters)
    assert await asyncio.to_thread(place.office.waiting) == []


def _operate(place: Place, *arguments: str) -> None:
    """`lienthong connections …`; returns when the service knows the change (it may lag 0.25 s)."""

    def loaded() -> int:
        return place.gateway.log.read_text().count('"registry.loaded"')

    before = loaded()
    command(
        place.site, "connections", *arguments, LIENTHONG_BROKER_ADMIN_URL=place.rabbitmq.admin_url
    )
    wait_until(lambda: loaded() > before, 10, "the changed connection")


async def test_nothing_is_published_again_while_it_may_still_wait(place: Place) -> None:
    """The attempt ends without a receipt and the next one begins: still one copy in the queue."""
    _operate(place, "set", "QLVB Nghệ An", "-o", "timeout_seconds=1")
    [delivery] = (await place.submit(place.letter()))["deliveries"]
    vhost = place.site.broker_url.rpartition("/")[2]
    inbox = f"{place.nghe_an.base}.inbox"

    async def tried(times: int) -> None:
        async def there() -> bool:
            row = await asyncio.to_thread(place.office.delivery, delivery["id"])
            return row["attempts"] >= times and row["state"] == "unknown"

        await wait_until_async(there, 20, f"{times} tries")

    await tried(2)
    assert place.rabbitmq.queue_depths(vhost)[inbox] == 1
    async with AmqpSoftware(place.nghe_an) as software:
        await place.until_state(delivery["id"], "delivered")
        assert [one for _, one in software.arrivals] == [delivery["id"]]


async def test_a_queue_that_is_gone_is_made_again_by_the_operator(place: Place) -> None:
    """Surely not delivered: later, with a word on what to do; then it goes on."""
    vhost = place.site.broker_url.rpartition("/")[2]
    place.rabbitmq.delete_queue(f"{place.nghe_an.base}.inbox", vhost)
    [delivery] = (await place.submit(place.letter()))["deliveries"]
    await place.until_state(delivery["id"], "queued")
    await wait_until_async(
        lambda: "returned: no queue behind" in place.gateway.log.read_text(), DEADLINE, "the try"
    )
    _operate(place, "set", "QLVB Nghệ An")
    async with AmqpSoftware(place.nghe_an):
        await place.until_state(delivery["id"], "delivered")


async def test_a_suspended_partner_waits_and_its_addresses_are_good_for_nothing(
    place: Place,
) -> None:
    """Its messages stay in the intake, a signed address is refused; resumed, all goes on."""
    letter = place.letter(OFFICE, sender=NGHE_AN)
    digest = hashlib.sha256(letter).hexdigest()
    path = signed_path(place.nghe_an, f"{place.nghe_an.user} put ", digest)
    told = len(place.gateway.log.read_text())
    await asyncio.to_thread(place.site.set_status, "QLVB Nghệ An", ConnectionStatus.SUSPENDED)

    def turned_away() -> bool:
        # Other bytes than were signed: until the gateway knows, they are refused for that.
        status, body = place.http("PUT", path, b"<edXML/>")
        return (status, json.loads(body)["code"]) == (403, "connection-suspended")

    await wait_until_async(turned_away, DEADLINE, "the suspension")
    await wait_until_async(
        lambda: "intake.stopped" in place.gateway.log.read_text()[told:], DEADLINE, "the stop"
    )
    async with AmqpSoftware(place.nghe_an) as software:
        sent = await software.send(letter)
        vhost = place.site.broker_url.rpartition("/")[2]
        depth = place.rabbitmq.queue_depths
        await wait_until_async(
            lambda: depth(vhost)[f"{place.nghe_an.base}.intake"] == 1, DEADLINE, "the message waits"
        )
        assert sent not in software.answers
        await asyncio.to_thread(place.site.set_status, "QLVB Nghệ An", ConnectionStatus.ACTIVE)
        assert (await software.answer(sent))[0] == "accepted"
    await asyncio.to_thread(place.office.receive, 1)


async def test_it_does_not_matter_which_process_hears_the_receipt(place: Place) -> None:
    """Two processes hand over, one of them consumes the intake: every first attempt is enough."""
    place.office.close()
    second = amqp_gateway(place.site, place.rabbitmq, relay_poll_seconds=0.2)
    letters = [place.letter() for _ in range(24)]
    _operate(place, "set", "QLVB Nghệ An", "--unset", "timeout_seconds")
    async with AmqpSoftware(place.nghe_an) as software:
        sent = [(await place.submit(letter))["deliveries"][0]["id"] for letter in letters]
        for delivery_id in sent:
            await place.until_state(delivery_id, "delivered")
        rows = [await asyncio.to_thread(place.office.delivery, one) for one in sent]
        assert [row["attempts"] for row in rows] == [1] * len(sent)
        assert len(software.arrivals) == len(set(software.arrivals)) == len(sent)
    told = [
        {item for item in sent if f'"delivery": "{item}", "recipient"' in one.log.read_text()}
        for one in (place.gateway, second)
    ]
    assert told[0] and told[1], "both processes made attempts"
    assert second.stop(20) == 0


async def test_with_delivered_by_confirm_the_queue_is_enough(place: Place) -> None:
    """The option changes what counts, within a second, without a restart."""
    _operate(place, "set", "QLVB Nghe An", "-o", "delivered_by=confirm")
    [delivery] = (await place.submit(place.letter(QUANG_NAM)))["deliveries"]
    await place.until_state(delivery["id"], "delivered")
    async with AmqpSoftware(place.quang_nam, sends_receipts=False) as software:
        await software.package(lambda one: one.message_id == delivery["id"])


async def test_a_new_secret_ends_the_old_password(place: Place) -> None:
    """RabbitMQ knows one password per user: rotating shows a new one, the old is refused."""
    told = json.loads(
        command(
            place.site,
            *("connections", "rotate", "QLVB Nghe An", "--json"),
            LIENTHONG_BROKER_ADMIN_URL=place.rabbitmq.admin_url,
        )
    )
    old = place.quang_nam
    new = Account(old.url, old.user, told["secret"], old.base)
    with pytest.raises((AMQPError, ConnectionError)):
        await aio_pika.connect(old.address, timeout=10)
    async with AmqpSoftware(new) as software:
        letter = place.letter(OFFICE, sender=QUANG_NAM)
        assert (await software.answer(await software.send(letter)))[0] == "accepted"
    await asyncio.to_thread(place.office.receive, 1)


def test_the_gateway_ends_promptly_and_its_log_holds_no_secret(place: Place) -> None:
    """SIGTERM with partners connected; neither passwords nor signed addresses are logged."""
    assert place.gateway.stop(20) == 0
    log = place.gateway.log.read_text()
    for account in (place.nghe_an, place.quang_nam):
        assert account.secret not in log
    assert "signature=" not in log
    assert ".bug" not in log
    wait_until(lambda: not place.gateway.running(), 5, "its end")
