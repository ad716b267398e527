"""The corpus: every good package is read, every bad one gives the rule that its name says."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from envelopes.content_types import ZIP_KINDS
from envelopes.model import Attachment, Document, SignatureForm
from envelopes.read import read_package
from tests.support import make_corpus
from tests.unit.envelopes.packages import SAMPLES, corpus, good_bytes, good_document

#: Far above what any of them takes; a hostile file must never come near it.
_LONGEST_SECONDS = 2.0


@pytest.mark.parametrize("path", corpus("good"), ids=lambda path: path.stem)
def test_a_good_package_is_accepted(path: Path) -> None:
    """No finding refuses, and there is a model with a sender and a document."""
    result = read_package([path.read_bytes()])
    assert [finding.sentence.en for finding in result.findings if finding.refuses] == []
    assert result.package is not None
    assert result.sender_organ_id
    assert result.document_id == make_corpus.DOCUMENT_ID


@pytest.mark.parametrize("path", corpus("bad"), ids=lambda path: path.stem)
def test_a_bad_package_gives_the_rule_of_its_name(path: Path) -> None:
    """The rule refuses, in both languages, with what is right, in bounded time."""
    rule = path.stem.partition("--")[0].upper()
    started = time.monotonic()
    result = read_package([path.read_bytes()])
    assert time.monotonic() - started < _LONGEST_SECONDS
    found = [finding for finding in result.findings if finding.rule == rule and finding.refuses]
    assert found, [finding.sentence.en for finding in result.findings]
    assert result.refused
    for finding in found:
        assert finding.sentence.vi and finding.sentence.en
        assert finding.allowed
        assert finding.line is not None


def test_the_corpus_is_what_the_generator_writes() -> None:
    """The stored files and the script that explains them cannot drift apart."""
    for folder, made in (("good", make_corpus.good()), ("bad", make_corpus.bad())):
        stored = {path.stem: path.read_bytes() for path in corpus(folder)}
        assert stored.keys() == made.keys()
        # Deflate may differ between builds of zlib: what it packed is compared by its rule alone.
        assert [name for name in made if _bare(made[name]) != _bare(stored[name])] == []


def _bare(packed: bytes) -> bytes:
    return re.sub(rb">[A-Za-z0-9+/=\s]{60,}<", b"><", packed)


@pytest.mark.parametrize("kind", ["new", "revocation", "update", "replacement"])
@pytest.mark.parametrize("layout", ["national", "vendor-a", "vendor-b"])
def test_every_dialect_means_the_same(layout: str, kind: str) -> None:
    """The same package of each vendor gives the canonical model, but for what the vendor omits."""
    canonical, _ = good_document(f"canonical-{kind}")
    theirs, _ = good_document(f"{layout}-{kind}")
    assert (theirs.business, theirs.trace, theirs.attachments, theirs.references) == (
        canonical.business,
        canonical.trace,
        canonical.attachments,
        canonical.references,
    )
    assert (theirs.code, theirs.promulgation_date, theirs.due_date, theirs.subject) == (
        canonical.code,
        canonical.promulgation_date,
        canonical.due_date,
        canonical.subject,
    )
    assert [party.organization_in_charge for party in theirs.recipients] == [
        party.organization_in_charge for party in canonical.recipients
    ]
    assert theirs.response_for == canonical.response_for
    assert theirs.priority == (0 if layout == "vendor-b" else 1)
    assert theirs.sender.fax == ("0238 3843049" if layout == "national" else "")


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("canonical-new", SignatureForm.ABSENT),
        ("national-new", SignatureForm.PLACEHOLDER),
        ("vendor-b-new", SignatureForm.PLACEHOLDER),
        ("signed", SignatureForm.XML_DSIG),
    ],
)
def test_the_form_of_a_signature_is_told(name: str, form: SignatureForm) -> None:
    """A placeholder is a state of its own, neither absent nor a signature to verify."""
    assert read_package([good_bytes(name)]).signature is form


def _only_file(name: str) -> Attachment:
    document, _ = good_document(name)
    return document.attachments[0]


def test_a_wrapped_file_is_unwrapped_and_recognised() -> None:
    """A file in the toolkit's ZIP is described as itself, its manifest line too."""
    for name in ("file-wrapped-stored", "file-wrapped-java", "file-wrapped-java-stored"):
        document, contents = good_document(name)
        file = document.attachments[0]
        assert (file.wrapped, file.content_type, file.size) == (
            True,
            "application/pdf",
            len(make_corpus.PDF),
        )
        assert document.references[0].content_type == "application/pdf"
        assert contents[file.content_id] == make_corpus.PDF


@pytest.mark.parametrize(
    ("name", "detected"),
    [
        ("file-genuine-docx", ZIP_KINDS["docx"]),
        ("file-genuine-zip", "application/zip"),
        ("file-archive-of-many", "application/zip"),
    ],
)
def test_a_genuine_archive_is_left_whole(name: str, detected: str) -> None:
    """An Office file or a ZIP declared application/zip is not torn into its parts."""
    _, contents = good_document(name)
    file = _only_file(name)
    assert not file.wrapped
    assert file.detected_type == detected
    assert contents[file.content_id].startswith(b"PK\x03\x04")


def test_packages_of_the_national_toolkit_are_accepted() -> None:
    """Ours in its layout and, where they are at hand, its own: each carries its wrapped file."""
    ours = [path for path in corpus("good") if path.stem.startswith("national")]
    assert ours
    for path in (*ours, *sorted(SAMPLES.glob("*.edxml"))):
        result = read_package([path.read_bytes()])
        assert not result.refused, path.name
        if isinstance(result.package, Document) and path not in ours:
            files = result.package.attachments
            assert [(file.wrapped, file.size) for file in files] == [(True, 388347)], path.name
