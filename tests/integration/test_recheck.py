"""Packages that wait for a fresh list of revoked certificates: held, looked at again, settled."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from adapters.trust import TrustFolder
from envelopes.limits import ReadLimits
from envelopes.read import read_package
from gateway import held_packages as module
from gateway.hand_in import inspected
from gateway.inspection import Inspection
from gateway.recheck import FIRST_PAUSE, LONGEST_PAUSE, Recheck
from gateway.services import Services
from routing.dead_letters import NotNow
from routing.records import NO_REVOCATION_LIST
from routing.states import TransportState
from routing.submission import Submission
from tests.support import packages
from tests.support import pdf_signing as pdfs
from tests.support.builders import connection, keep, package, stored
from tests.support.builders import delivery as delivery_of
from tests.support.parts import open_parts
from tests.support.pki import DAY, NOW, Credential, pki
from tests.support.xml_signing import sign

SENDER, RECIPIENT = "000.00.00.G22", "000.00.00.H41"


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    """The parts of a gateway that trusts the PKI and has none of its lists."""
    TrustFolder(tmp_path / "trust").add_anchors(pki().root.credential.pem)
    settings = {"signature_checks": True, "agency_profiles": "G22=son-la"}
    async with open_parts(tmp_path, **settings) as parts:
        yield parts
        await parts.inspection.close()


def _signed(by: Credential) -> bytes:
    both = pdfs.sign_pdf(pdfs.sign_pdf(pdfs.make_pdf(), pki().official), by, field="Seal")
    name = f"{SENDER},2026/08/21,1/CV-TEST"
    return packages.document(SENDER, [RECIPIENT], name, files=[packages.File("a.pdf", both)])


async def _waiting(services: Services, raw: bytes) -> str:
    """A delivery that waits, of a package received when the lists of the PKI were not there."""
    await services.payloads.put(raw)
    record = package(SENDER, digest=hashlib.sha256(raw).hexdigest(), size=len(raw), received_at=NOW)
    row = delivery_of(record, state=TransportState.HELD, reason=NO_REVOCATION_LIST, ring_at=None)
    await keep(services.database, record, row)
    return row.id


def _list(services: Services) -> None:
    trust = TrustFolder(services.settings.effective_trust_dir)
    for number, crl in enumerate((pki().root.crl(), pki().government.crl(NOW - DAY))):
        trust.keep_revocation(f"{number}.crl", crl)


async def _inspected(services: Services, raw: bytes) -> Submission:
    """A package of the sender's as it is after its inspection."""
    spool = await asyncio.to_thread(services.payloads.spool)
    spool.write(raw)
    spool.finish()
    submission = Submission(read_package([raw]), spool, connection("g22", SENDER), "c")
    return await inspected(services, submission, await services.registry.routes())


def _alarms(services: Services) -> float:
    value = services.metrics.registry.get_sample_value
    return value("lienthong_alarms_total", {"what": "revocation-unknown"}) or 0.0


async def test_without_a_list_a_package_is_held_and_told(services: Services) -> None:
    """Where signatures are demanded; it is not refused, and the operator has an alarm."""
    found = await _inspected(services, await asyncio.to_thread(_signed, pki().agency))
    assert found.wait == NO_REVOCATION_LIST
    assert found.judgement is not None and not found.judgement.refused
    assert _alarms(services) == 1


async def test_without_a_list_a_report_goes_on_with_a_warning(services: Services) -> None:
    """There is nothing that a report would wait in; its sender is told, and nobody has an alarm."""
    plain = packages.status(SENDER, RECIPIENT, f"{RECIPIENT},2026/08/21,1/CV-TEST", "06")
    found = await _inspected(services, await asyncio.to_thread(sign, plain, pki().agency))
    assert found.wait is None and _alarms(services) == 0
    assert [one.rule for one in found.findings] == ["SIG-TRUST"]


@pytest.mark.parametrize(
    ("by", "ends"), [("agency", TransportState.ACCEPTED), ("revoked", TransportState.RETURNED)]
)
async def test_with_the_list_it_goes_on_or_back(
    services: Services, by: str, ends: TransportState
) -> None:
    """Held as long as there is none, whatever the operator says; then the list decides."""
    row = await _waiting(services, await asyncio.to_thread(_signed, getattr(pki(), by)))
    recheck = Recheck(services)
    await recheck.once()
    assert (await stored(services.database, row)).state is TransportState.HELD
    routes = await services.registry.routes()
    waved = await services.dead_letters.release(row, "lan", routes, NOW)
    assert isinstance(waved, NotNow)
    _list(services)
    await recheck.once()
    after = await stored(services.database, row)
    assert after.state is ends
    assert (after.reason.code if after.reason else "") == ("SIG-TRUST" if by == "revoked" else "")


class Watch:
    """The clock that pauses are measured by, and how often signatures were verified."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.verified = 1000.0, 0
        monkeypatch.setattr(module, "monotonic", lambda: self.now)
        verify = Inspection.verify

        async def counted(*args: Any) -> Any:
            self.verified += 1
            return await verify(*args)

        monkeypatch.setattr(Inspection, "verify", counted)

    async def look(self, recheck: Recheck, *, after: float) -> int:
        """Once more; how many packages were verified."""
        self.now += after
        before = self.verified
        await recheck.once()
        return self.verified - before


async def test_a_fault_of_ours_sends_nothing_back(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine is too busy to verify in time: the package waits, and goes on afterwards."""
    row = await _waiting(services, await asyncio.to_thread(_signed, pki().agency))
    _list(services)
    assert services.inspection.signatures is not None
    pool = services.inspection.signatures.pool
    enough, pool.limits = pool.limits, replace(pool.limits, seconds=0.001)
    watch, recheck = Watch(monkeypatch), Recheck(services)
    assert await watch.look(recheck, after=0) == 1
    after = await stored(services.database, row)
    assert (after.state, after.reason) == (TransportState.HELD, NO_REVOCATION_LIST)
    pool.limits = enough
    assert await watch.look(recheck, after=FIRST_PAUSE) == 1
    assert (await stored(services.database, row)).state is TransportState.ACCEPTED


async def test_what_waits_is_looked_at_after_growing_pauses(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that is missing for a day does not keep the machine busy; when it comes it counts."""
    row = await _waiting(services, await asyncio.to_thread(_signed, pki().agency))
    watch, recheck = Watch(monkeypatch), Recheck(services)
    assert await watch.look(recheck, after=0) == 1
    assert await watch.look(recheck, after=FIRST_PAUSE - 1) == 0
    assert await watch.look(recheck, after=1) == 1
    assert await watch.look(recheck, after=2 * FIRST_PAUSE - 1) == 0
    for _ in range(6):
        assert await watch.look(recheck, after=LONGEST_PAUSE) == 1
    _list(services)
    assert await watch.look(recheck, after=0) == 1
    assert (await stored(services.database, row)).state is TransportState.ACCEPTED


async def test_what_is_not_read_any_more_is_logged(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bounds became tighter since: it waits, and the log says so."""
    row = await _waiting(services, await asyncio.to_thread(_signed, pki().agency))
    _list(services)
    tight = ReadLimits(max_elements=5)
    monkeypatch.setattr(type(services), "read_limits", property(lambda _: tight))
    with capture_logs() as logs:
        await Recheck(services).once()
    assert (await stored(services.database, row)).state is TransportState.HELD
    assert [one["why"] for one in logs if one["event"] == "recheck.waits"] == ["unreadable"]
