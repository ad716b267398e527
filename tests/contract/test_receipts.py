"""What a partner says outside an attempt, on both databases: recorded once, by nobody else."""

from __future__ import annotations

from datetime import timedelta

from envelopes.findings import Sentence
from routing.deliver import AttemptOutcome
from routing.gateway_reports import GatewayIdentity, GatewayReports
from routing.lanes import FairClock
from routing.receipts import Receipt, ReceiptEffect, Receipts
from routing.records import Delivery
from routing.replay import Replay
from routing.states import TransportState
from tests.support.builders import ALPHA, BETA, new_id
from tests.support.use_cases import Gateway, ScriptedPartner, all_rows

WHY = Sentence("Không đúng thẩm quyền", "Not ours to decide")


#: Of the connections: attempts go to them.
KIND = "push"


async def digest_of(gateway: Gateway, row: Delivery) -> str:
    """SHA-256 of the delivery's package."""
    package = await gateway.database.read(lambda tx: tx.get_package(row.package_id))
    assert package is not None
    return package.digest


async def say(
    gateway: Gateway,
    row: Delivery,
    *,
    by: str = BETA,
    digest: str = "",
    why: Sentence | None = None,
) -> ReceiptEffect:
    """A receipt, or a refusal, over the connection of the agency `by`."""
    reports = GatewayReports(gateway.payloads, GatewayIdentity(), new_id, FairClock())
    receipts = Receipts(gateway.database, reports, gateway.on_time)
    receipt = Receipt(row.id, digest or await digest_of(gateway, row), why)
    return await receipts.record(receipt, gateway.world.of(by), gateway.routes, gateway.clock())


async def attempt(
    gateway: Gateway, row: Delivery, outcome: AttemptOutcome = AttemptOutcome.UNKNOWN
) -> None:
    """One attempt that ends so."""
    partner = ScriptedPartner([outcome])
    assert await gateway.worker().attempt(row.id, gateway.world.beta, partner)


async def log_agrees(gateway: Gateway) -> None:
    """The event log leads to the stored states."""
    rows, events = await all_rows(gateway.database)
    replay = Replay()
    for event in events:
        replay.take(event)
    assert replay.discrepancies == [] and rows


async def test_a_receipt_makes_it_delivered_and_another_changes_nothing(
    gateway: Gateway, row: Delivery
) -> None:
    """After an attempt whose outcome is unknown; with the time by law, and nothing left to ring."""
    await attempt(gateway, row)
    assert (await gateway.now(row.id)).state is TransportState.UNKNOWN
    assert await say(gateway, row) is ReceiptEffect.RECORDED
    after = await gateway.now(row.id)
    assert (after.state, after.delivered_at) == (TransportState.DELIVERED, gateway.clock.now)
    assert (after.ring_at, after.lease_owner) == (None, None) and after.legal_received_at
    gateway.clock.now += timedelta(hours=1)
    assert await say(gateway, row) is ReceiptEffect.REPEATED
    assert await gateway.now(row.id) == after
    await log_agrees(gateway)


async def test_a_receipt_during_the_attempt_ends_it_well(gateway: Gateway, row: Delivery) -> None:
    """The attempt sees it and says delivered; there is one outcome and one event of it."""

    async def meanwhile(_: Delivery) -> None:
        assert await say(gateway, row) is ReceiptEffect.RECORDED

    partner = ScriptedPartner([AttemptOutcome.DELIVERED], meanwhile=meanwhile)
    assert await gateway.worker().attempt(row.id, gateway.world.beta, partner)
    assert (await gateway.now(row.id)).state is TransportState.DELIVERED
    told = [event.type for event in await gateway.events(row.package_id)]
    assert told.count("delivery.delivered") == 1
    await log_agrees(gateway)


async def test_a_receipt_that_the_attempt_does_not_see_is_not_overwritten(
    gateway: Gateway, row: Delivery
) -> None:
    """The attempt ends as unknown right after: the delivery stays delivered."""

    async def meanwhile(_: Delivery) -> None:
        assert await say(gateway, row) is ReceiptEffect.RECORDED

    partner = ScriptedPartner([AttemptOutcome.UNKNOWN], meanwhile=meanwhile)
    await gateway.worker().attempt(row.id, gateway.world.beta, partner)
    assert (await gateway.now(row.id)).state is TransportState.DELIVERED
    await log_agrees(gateway)


async def test_a_receipt_counts_only_from_the_recipient_for_these_bytes_after_an_attempt(
    gateway: Gateway, row: Delivery
) -> None:
    """Too early, another's, of other bytes, of no delivery at all: nothing changes."""
    assert await say(gateway, row) is ReceiptEffect.NOT_YOURS
    await attempt(gateway, row)
    before = await gateway.now(row.id)
    assert await say(gateway, row, by=ALPHA) is ReceiptEffect.NOT_YOURS
    assert await say(gateway, row, digest="0" * 64) is ReceiptEffect.OTHER_CONTENT
    reports = GatewayReports(gateway.payloads, GatewayIdentity(), new_id, FairClock())
    receipts = Receipts(gateway.database, reports, gateway.on_time)
    for some_id in ("", "x\x00", new_id()):
        told = Receipt(some_id, "0" * 64)
        beta = gateway.world.of(BETA)
        effect = await receipts.record(told, beta, gateway.routes, gateway.clock())
        assert effect is ReceiptEffect.NOT_YOURS
        assert await receipts.digest_of(some_id) == ""
    assert await gateway.now(row.id) == before


async def test_a_refusal_returns_it_and_tells_the_sender(gateway: Gateway, row: Delivery) -> None:
    """The reason on the delivery, a status 02 on its way; saying so again tells nobody twice."""
    await attempt(gateway, row)
    assert await say(gateway, row, why=WHY) is ReceiptEffect.RECORDED
    after = await gateway.now(row.id)
    assert after.state is TransportState.RETURNED and after.reason is not None
    assert (after.reason.code, after.reason.sentence) == ("refused-by-partner", WHY)
    gateway.clock.now += timedelta(minutes=1)
    assert await say(gateway, row, why=WHY) is ReceiptEffect.REPEATED
    rows, _ = await all_rows(gateway.database)
    [report] = [one for one in rows if one.id != row.id]
    assert report.recipient_organ_id == ALPHA
    await log_agrees(gateway)


async def test_a_late_receipt_wins_over_a_refusal_and_a_refusal_never_over_a_receipt(
    gateway: Gateway, row: Delivery
) -> None:
    """Who says that it has the package is believed; who had it cannot unsay it."""
    await attempt(gateway, row)
    assert await say(gateway, row, why=WHY) is ReceiptEffect.RECORDED
    assert await say(gateway, row) is ReceiptEffect.RECORDED
    assert await say(gateway, row, why=WHY) is ReceiptEffect.IMPOSSIBLE
    assert (await gateway.now(row.id)).state is TransportState.DELIVERED
    await log_agrees(gateway)
