"""XML signatures over packages."""

from __future__ import annotations

import io
from collections.abc import Iterator

from envelopes.xml_signature import KeyPolicy, check_signature, ranges_of, signed_form
from envelopes.xml_signature_scan import SignatureScanner
from tests.fuzz.promises import CORPUS, Broken, cut, samples, storable
from tests.support.pki import pki
from tests.support.xml_signing import C14N11, EXCLUSIVE, sign


def run_xml_signature(data: bytes) -> None:
    """The scan, the verdict and the signed form; the blocks make no difference to what is seen."""
    scans = []
    for blocks in ([data], cut(data)):
        scanner = SignatureScanner()
        for block in blocks:
            scanner.feed(block)
        scans.append(scanner.close())
    # Where a package stops being well-formed may be told in other words.
    if scans[0].problem != scans[1].problem or (
        scans[0].problem is None and scans[0].contents != scans[1].contents
    ):
        raise Broken("the blocks make a difference")
    ranges = ranges_of(io.BytesIO(data))
    found = check_signature(scans[0], ranges, KeyPolicy(allow_sha1=True))
    storable([found.outcome, list(found.reasons), found.algorithm])
    try:
        for _ in signed_form(scans[0], ranges):
            pass
    except ValueError:
        # Documented: there is no signature of a form that is taken.
        return


def xml_signature_seeds() -> Iterator[bytes]:
    """Signed packages in every form that the tests know, and some unsigned ones."""
    made = pki()
    good = (CORPUS / "good" / "canonical-new.edxml").read_bytes()
    status = (CORPUS / "good" / "status-01.edxml").read_bytes()
    for package in (status, good):
        yield sign(package, made.agency)
    yield sign(status, made.agency, canonical=EXCLUSIVE, info_canonical=EXCLUSIVE)
    yield sign(status, made.agency, canonical=C14N11)
    yield sign(status, made.agency, hmac_secret=b"x")
    yield from samples("good")
