"""What the rules ask of the files of revocations and updates, and of documents without files."""

from __future__ import annotations

from dataclasses import replace

import pytest

from envelopes.limits import MIB
from envelopes.model import BusinessDocType
from envelopes.rules.outcome import Missing
from envelopes.rules.profile import load_profile
from envelopes.rules.runner import judge
from envelopes.signature_facts import SignatureFacts
from schemas.catalogue import profile_names
from tests.support.make_rule_corpus import changed, rule_corpus
from tests.unit.envelopes.rules.cases import (
    SENDER,
    altered,
    facts,
    known,
    signatures,
    signed_file,
    sized,
    two_files,
    verdict,
)


@pytest.mark.parametrize("profile", sorted(profile_names()))
@pytest.mark.parametrize(
    "name",
    [
        "file-complete--trips-appendixes",
        "file-name--trips-accents",
        "file-name--trips-long",
        "file-format--trips-program",
        "file-signed-pdf--trips-word",
    ],
)
def test_a_recall_is_not_held_up_by_what_it_takes_back(name: str, profile: str) -> None:
    """Neither signatures, names nor formats are asked of what only takes a document back."""
    packed = changed("DocType>0<", "DocType>1<", rule_corpus()[name])
    made = facts(packed, signatures=signatures(signed_file()))
    large = altered(sized(51 * MIB), business=made.document.business)  # type: ignore[union-attr]
    for recall in (made, large):
        sent = frozenset(file.sha256 for _, file, _ in recall.attachments())
        seen = replace(recall, lookups=known(sent_files=sent))
        assert judge(seen, load_profile(profile)).findings == ()
        # Offline nobody can tell whether they were sent: nothing is said of them, and that is said.
        unseen = judge(recall, load_profile(profile))
        assert unseen.findings == ()
        assert Missing.HISTORY in {one.why for one in unseen.not_judged}


@pytest.mark.parametrize("profile", sorted(profile_names()))
def test_what_a_recall_brings_along_as_new_is_judged(profile: str) -> None:
    """Calling a document a revocation takes no rule off a file that was never sent before."""
    for name in (
        "file-format--trips-program",
        "file-name--trips-long",
        "file-signed-pdf--trips-word",
    ):
        unsigned = signatures(signed_file())
        recall = facts(
            changed("DocType>0<", "DocType>1<", rule_corpus()[name]), signatures=unsigned
        )
        plain = facts(rule_corpus()[name], signatures=unsigned)
        new = replace(recall, lookups=known(sent_files=frozenset({"00" * 32})))
        findings = judge(new, load_profile(profile)).findings
        assert findings == judge(plain, load_profile(profile)).findings
        assert findings, name
    bare = judge(altered(new, attachments=()), load_profile(profile))
    assert bare.findings == ()


def test_a_recalled_file_does_not_hide_a_new_one() -> None:
    """Put before the new one, an old file is not its main document."""
    made = two_files()
    assert made.document is not None and made.signatures is not None
    business = replace(made.document.business, doc_type=BusinessDocType.REVOCATION)
    first, second = made.document.attachments
    made = altered(made, attachments=(first, replace(second, sha256="11" * 32)))
    sent = known(sent_files=frozenset({first.sha256}))
    recall = replace(altered(made, business=business), lookups=sent)
    for profile in ("dien-bien", "kon-tum", "son-la"):
        told = {one.rule for one in judge(recall, load_profile(profile)).findings}
        assert {"FILE-UNSIGNED-PDF", "SIG-BOTH"} <= told


@pytest.mark.parametrize("profile", sorted(profile_names()))
def test_a_document_without_files_is_unsigned(profile: str) -> None:
    """Where signatures are demanded; but an update of what was sent with files needs none."""
    strict = profile in ("dien-bien", "kon-tum", "son-la")
    bare = altered(facts(signatures=SignatureFacts(sender_organ_id=SENDER)), attachments=())
    assert bare.document is not None

    def told(kind: BusinessDocType, sent: frozenset[str] | None = None) -> set[str]:
        assert bare.document is not None
        business = replace(bare.document.business, doc_type=kind)
        made = replace(altered(bare, business=business), lookups=known(sent_files=sent))
        rules = {"FILE-UNSIGNED-PDF", "SIG-BOTH"}
        return rules & {one.rule for one in judge(made, load_profile(profile)).findings}

    demanded = {"FILE-UNSIGNED-PDF", "SIG-BOTH"} if strict else set()
    assert told(BusinessDocType.NEW) == told(BusinessDocType.REPLACEMENT) == demanded
    assert told(BusinessDocType.UPDATE, frozenset()) == demanded
    assert told(BusinessDocType.UPDATE) == set()
    assert told(BusinessDocType.UPDATE, frozenset({"00" * 32})) == set()
    assert told(BusinessDocType.REVOCATION, frozenset()) == set()
    speaks = replace(bare, signatures=SignatureFacts(xml=verdict(), sender_organ_id=SENDER))
    findings = judge(speaks, load_profile(profile)).findings
    assert "FILE-UNSIGNED-PDF" not in {one.rule for one in findings}
