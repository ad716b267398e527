"""Rows of the matrix about what follows the last signature of a PDF: time stamps, metadata."""

from __future__ import annotations

from collections.abc import Callable

from envelopes.signature_facts import Reason
from tests.support import pdf_signing as pdfs
from tests.support.pki import DAY, NOW, Pki
from tests.support.signature_case import INVALID, VALID, Case, package
from tests.support.signature_forgeries import stranger_tsa


def _both(p: Pki, pdf: bytes | None = None) -> bytes:
    """The official's signature, then the agency's seal."""
    return pdfs.sign_pdf(pdfs.sign_pdf(pdf or pdfs.make_pdf(), p.official), p.agency, field="Seal")


def _stamped(p: Pki, pdf: bytes, field: str = "Stamp") -> bytes:
    return pdfs.stamp_pdf(pdf, pdfs.time_stamper(p.tsa, NOW - DAY), field)


def _changed(name: str, change: Callable[[Pki], bytes]) -> Case:
    """A change that only the seal must answer for: the first signature is answered for by it."""
    reasons = (Reason.CHANGED_LATER,)
    return Case(name, lambda p: package(change(p)), INVALID, reasons, each=(VALID, INVALID))


def _sound(name: str, change: Callable[[Pki], bytes]) -> Case:
    return Case(name, lambda p: package(change(p)), VALID, each=(VALID, VALID))


def _titled(p: Pki, title: str) -> bytes:
    return pdfs.with_xmp(_both(p, pdfs.with_xmp(pdfs.make_pdf(), "Quyết định")), title)


STAMP_CASES = [
    *(
        _changed(
            f"page covered under a document time stamp of {name}",
            lambda p, tsa=tsa: pdfs.cover_page(_both(p), pdfs.time_stamper(tsa(p), NOW - DAY)),
        )
        for name, tsa in (("a stranger", stranger_tsa), ("our authority", lambda p: p.tsa))
    ),
    _changed(
        "page covered, a document time stamp after it",
        lambda p: _stamped(p, pdfs.cover_page(_both(p)), "Later"),
    ),
    _changed(
        "empty field added, a document time stamp after it",
        lambda p: _stamped(p, pdfs.add_field(_both(p))),
    ),
    _sound("two document time stamps", lambda p: _stamped(p, _stamped(p, _both(p)), "Second")),
    _sound(
        "stored evidence, stamp, evidence again, stamp again (LTA renewed)",
        lambda p: _stamped(
            p,
            pdfs.with_evidence(_stamped(p, pdfs.with_evidence(_both(p), p.crls)), p.crls),
            "Second",
        ),
    ),
    _sound(
        "signed after a document time stamp",
        lambda p: pdfs.sign_pdf(
            _stamped(p, pdfs.sign_pdf(pdfs.make_pdf(), p.official)), p.agency, field="Seal"
        ),
    ),
    _changed("another title", lambda p: pdfs.retitled(_both(p), "Quyết định khác")),
    _changed(
        "another title, a document time stamp after it",
        lambda p: _stamped(p, pdfs.retitled(_both(p), "Quyết định khác")),
    ),
    _sound("another date of change", lambda p: pdfs.retitled(_both(p), None)),
    _changed("another title in the XMP", lambda p: _titled(p, "Quyết định khác")),
    _sound("another date in the XMP", lambda p: _titled(p, "Quyết định")),
]
