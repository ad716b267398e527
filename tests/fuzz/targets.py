"""What is fuzzed: one function of bytes for each way in, that raises where a promise is broken.

A promise is: no exception but those that the called function documents, what comes out can be
stored and sent (JSON in UTF-8), and what blocks the bytes came in makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.fuzz.evidence import evidence_seeds, run_evidence
from tests.fuzz.files import attachment_seeds, run_attachment
from tests.fuzz.promises import samples
from tests.fuzz.reading import run_judge, run_read
from tests.fuzz.signed import run_xml_signature, xml_signature_seeds
from tests.fuzz.vxp import run_vxp, vxp_seeds


@dataclass(frozen=True, slots=True)
class Target:
    """One way in: `run` takes the input, `seeds` gives inputs to begin with."""

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    #: Words that mutations may put in.
    words: tuple[bytes, ...] = ()
    #: CPU seconds that one input may take at most, on a slow machine with coverage counted.
    seconds: float = 5.0


TARGETS = {
    one.name: one
    for one in (
        Target(
            "read",
            run_read,
            samples,
            (b"<Attachment>", b"<![CDATA[", b"]]>", b"&#13;", b"&#0;", b"<!DOCTYPE x [", b"xmlns="),
        ),
        Target(
            "judge",
            run_judge,
            samples,
            (b"<Attachment>", b"application/zip", b".pdf", b"%PDF-", b"PK\x03\x04", "MẬT".encode()),
        ),
        Target(
            "vxp",
            run_vxp,
            vxp_seeds,
            (b"XroadVnpt-", b"SIGN", b'{"', b'":"', b"sign-header-key", b"\\ud800", b"[["),
        ),
        Target(
            "attachment",
            run_attachment,
            attachment_seeds,
            (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x07\x08", b"PK\x06\x06", b"=="),
        ),
        Target(
            "xml-signature",
            run_xml_signature,
            xml_signature_seeds,
            (b"<ds:Signature", b'URI=""', b"<![CDATA[", b"&#13;", b"xml:space", b"<!--", b"<?x?>"),
        ),
        Target(
            "evidence",
            run_evidence,
            evidence_seeds,
            (b"manifest\t", b"receipts/", b"seals/", b'"path":', b"event\t", b"null", b"{}", b"[]"),
        ),
    )
}
