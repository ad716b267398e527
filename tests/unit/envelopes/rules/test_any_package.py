"""Whatever a package says, every profile judges it: no exception, refusals first, no text lost."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envelopes.findings import Finding
from envelopes.model import Document, StatusReport
from envelopes.rules.facts import FileFacts, PackageFacts, ScanFacts, ScanVerdict, TextEncoding
from envelopes.rules.outcome import NotJudged
from envelopes.rules.profile import all_profiles
from envelopes.rules.runner import judge
from envelopes.signature_facts import Reason, SignatureFacts, SignatureOutcome, SignerKind
from tests.unit.envelopes.models import documents, status_reports
from tests.unit.envelopes.rules.cases import known, signed_file, verdict

_files = st.builds(
    FileFacts,
    detected_type=st.sampled_from(["", "application/pdf", "text/plain", "application/zip"]),
    encoding=st.sampled_from([None, *TextEncoding]),
    nfc=st.sampled_from([None, True, False]),
    searched_for_secrets=st.booleans(),
    other_signature=st.sampled_from(["", "OOXML"]),
    pages=st.one_of(st.none(), st.integers(0, 3)),
)
_verdicts = st.builds(
    verdict,
    st.sampled_from(list(Reason)),
    kind=st.sampled_from(list(SignerKind)),
    outcome=st.sampled_from(list(SignatureOutcome)),
    renewed=st.sampled_from([None, True, False]),
)
_signed = st.lists(_verdicts, max_size=3).map(lambda some: signed_file(*some))
_signatures = st.builds(
    SignatureFacts,
    xml=_verdicts,
    files=st.lists(_signed, max_size=2).map(tuple),
    sender_organ_id=st.sampled_from(["", "H41", "000.00.00.G22", "no code"]),
    sender_certificates=st.sampled_from([(), ("aa" * 32,), ("bb" * 32,)]),
)
_scans = st.lists(
    st.builds(ScanFacts, st.integers(0, 3), st.sampled_from(list(ScanVerdict)), st.just("X"))
).map(tuple)
_facts = st.builds(
    PackageFacts,
    package=st.one_of(documents().map(lambda made: made[0]), status_reports),
    files=st.one_of(st.none(), st.lists(_files, max_size=3).map(tuple)),
    signatures=st.one_of(st.none(), _signatures),
    scans=st.one_of(st.none(), _scans),
    lookups=st.sampled_from([known(), known(received_at=None), known(calendar=None)]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_facts)
def test_every_profile_judges_every_package(facts: PackageFacts) -> None:
    """Findings go through JSON unharmed and say where; what refuses comes first."""
    assert isinstance(facts.package, Document | StatusReport)
    for profile in all_profiles():
        judgement = judge(facts, profile)
        refusing = [finding.refuses for finding in judgement.findings]
        assert refusing == sorted(refusing, reverse=True)
        for finding in judgement.findings:
            assert Finding.from_dict(json.loads(json.dumps(finding.as_dict()))) == finding
            assert finding.element and finding.source
        for one in judgement.not_judged:
            assert isinstance(one, NotJudged) and one.rule
            json.dumps(one.as_dict())
        assert judge(facts, profile) == judgement
