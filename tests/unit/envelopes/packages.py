"""Small packages for tests that need one of a certain kind."""

from __future__ import annotations

from pathlib import Path

from envelopes.model import Document, StatusReport
from envelopes.read import open_attachment, read_package

CORPUS = Path(__file__).parents[2] / "corpus"
#: Packages of the national toolkit, where the checkout has them beside it.
SAMPLES = Path(__file__).parents[4] / "shared" / "samples" / "edxml"


def corpus(folder: str) -> list[Path]:
    """The files of one half of the corpus, sorted."""
    return sorted((CORPUS / folder).glob("*.edxml"))


def good_bytes(name: str) -> bytes:
    """The bytes of one good package."""
    return (CORPUS / "good" / f"{name}.edxml").read_bytes()


def good_document(name: str = "file-two") -> tuple[Document, dict[str, bytes]]:
    """The model of a good document package and the bytes of its files."""
    packed = good_bytes(name)
    document = read_package([packed]).package
    assert isinstance(document, Document)
    contents = {
        file.content_id: b"".join(open_attachment([packed], file)) for file in document.attachments
    }
    return document, contents


def good_status(code: str) -> StatusReport:
    """The model of a good status package."""
    report = read_package([good_bytes(f"status-{code}")]).package
    assert isinstance(report, StatusReport)
    return report
