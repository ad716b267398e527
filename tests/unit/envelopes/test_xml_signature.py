"""XML signatures over whole packages: what is verified is what is read, whatever form it has."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from signxml import XMLSigner, XMLVerifier
from signxml.algorithms import CanonicalizationMethod
from signxml.verifier import SignatureConfiguration

from envelopes.json_signature import verify
from envelopes.limits import ReadLimits
from envelopes.read import read_package
from envelopes.signature_facts import Reason, SignatureOutcome
from envelopes.xml_signature import KeyPolicy, check_file, ranges_of, signed_form
from envelopes.xml_signature_scan import SignatureScanner, UnsupportedContent, canonical_content
from tests.support import xml_signing
from tests.support.pki import pki
from tests.support.xml_signing import C14N11, DS, EXCLUSIVE, Form, sign
from tests.unit.envelopes.packages import corpus, good_bytes

VALID, INVALID = SignatureOutcome.VALID, SignatureOutcome.INVALID
UNVERIFIABLE, ABSENT = SignatureOutcome.UNVERIFIABLE, SignatureOutcome.ABSENT


def _check(package: bytes, policy: KeyPolicy | None = None, known: tuple[bytes, ...] = ()):
    return check_file(io.BytesIO(package), policy, known)


def _signed_bytes(package: bytes) -> bytes:
    scanner = SignatureScanner()
    scanner.feed(package)
    return b"".join(signed_form(scanner.close(), ranges_of(io.BytesIO(package))))


UNSIGNED = [path.stem for path in corpus("good") if b"Signature" not in path.read_bytes()]


@pytest.mark.parametrize("name", UNSIGNED)
def test_what_is_read_is_what_was_signed(name: str) -> None:
    """A signed package of every kind verifies, and its canonical bytes read as the same model."""
    package = sign(good_bytes(name), pki().agency)
    found = _check(package)
    if b"<!--" in package:
        assert found.reasons == (Reason.COMMENT,)
        return
    assert found.outcome is VALID, found.detail
    assert found.certificate == pki().agency.der
    assert read_package([_signed_bytes(package)]).package == read_package([package]).package


@pytest.mark.parametrize(
    "form",
    [
        Form(canonical=EXCLUSIVE),
        Form(canonical=C14N11, info_canonical=C14N11),
        Form(info_canonical=EXCLUSIVE, canonical=EXCLUSIVE),
        Form(hash_name="sha512", digest_name="sha384"),
        Form(hash_name="sha384", digest_name="sha512"),
        Form(key_value_of=pki().agency),
        Form(place=""),
    ],
)
def test_every_allowed_form_verifies(form: Form) -> None:
    """Canonical forms, digests and places of the list; RSA and elliptic curves."""
    package = good_bytes("canonical-new")
    assert _check(sign(package, pki().agency, form)).outcome is VALID
    if form.key_value_of is None:
        assert _check(sign(package, pki().on_curve, form)).outcome is VALID


@pytest.mark.parametrize("method", ["http://www.w3.org/2001/10/xml-exc-c14n#", xml_signing.C14N])
def test_what_signxml_signs_and_verifies_verifies_here(method: str) -> None:
    """The library everybody uses and our way in constant memory come to the same result."""
    signer = XMLSigner(c14n_algorithm=CanonicalizationMethod(method))
    root = etree.fromstring(good_bytes("file-two"))
    agency = pki().agency
    signed = etree.tostring(
        signer.sign(root, key=agency.key, cert=[agency.certificate]), encoding="utf-8"
    )
    assert _check(signed).outcome is VALID
    ours = sign(good_bytes("file-two"), agency, canonical=method, place="")
    config = SignatureConfiguration(location="./")
    verifier = XMLVerifier()
    # Without this signxml writes xmlns="" into the SignedInfo of a signature that has XML-DSig as
    # its default namespace, as .NET writes it, and refuses what is genuine (its issue 193).
    verifier.excise_empty_xmlns_declarations = True
    result = verifier.verify(ours, x509_cert=agency.certificate, expect_config=config)
    assert result.signed_data == _signed_bytes(ours)


@pytest.mark.parametrize("name", ["java-character-references", "crlf-wrapped-base64"])
def test_line_ends_and_references_in_files_are_canonical(name: str) -> None:
    """What lxml makes of a file's text and what is spliced agree, however it is wrapped."""
    raw = good_bytes(name)
    tree = etree.ElementTree(etree.fromstring(raw))
    plain = xml_signing.canonical(tree, xml_signing.C14N)
    scanner = SignatureScanner()
    scanner.feed(raw)
    scan = scanner.close()
    ranges = ranges_of(io.BytesIO(raw))
    assert scan.contents
    for start, end in scan.contents:
        assert b"".join(canonical_content(ranges(start, end))) in plain


def test_a_package_without_a_signature_and_a_placeholder_are_told_apart() -> None:
    """Absent and unverifiable are states of their own (specification, edXML section 6)."""
    assert _check(good_bytes("canonical-new")).outcome is ABSENT
    for name in ("national-new", "vendor-b-new", "signed"):
        found = _check(good_bytes(name))
        assert (found.outcome, found.reasons) == (UNVERIFIABLE, (Reason.PLACEHOLDER,)), name


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_changed_byte_goes_unnoticed(data: st.DataObject) -> None:
    """Whatever one byte is changed to: not valid, not readable, or read as it was before.

    The XML declaration is no part of what is signed; an encoding that does not exist is refused.
    """
    package = bytearray(sign(good_bytes("file-plain-pdf"), pki().agency))
    before = read_package([bytes(package)]).package
    at = data.draw(st.integers(0, len(package) - 1))
    package[at] = data.draw(st.integers(0, 255))
    if _check(bytes(package)).outcome is VALID:
        assert read_package([bytes(package)]).package in (None, before)


@given(st.binary(max_size=200).map(base64.encodebytes), st.lists(st.integers(1, 40), min_size=1))
def test_the_text_of_a_file_does_not_depend_on_the_blocks(text: bytes, cuts: list[int]) -> None:
    """Carriage returns and references cut in two by a block's end are settled all the same."""
    raw = text.replace(b"\n", b"&#13;\r\n")
    blocks, at = [], 0
    while at < len(raw):
        size = cuts[len(blocks) % len(cuts)]
        blocks.append(raw[at : at + size])
        at += size
    assert b"".join(canonical_content(blocks)) == text.replace(b"\n", b"&#xD;\n")


def test_other_references_in_a_file_are_not_guessed_at() -> None:
    """Base64 written with references or markup is not spliced wrongly: it is unsupported."""
    for raw in (b"QUJD&#65;", b"<![CDATA[QUJD]]>", b"QUJD&amp;"):
        with pytest.raises(UnsupportedContent):
            list(canonical_content([raw]))


@dataclass(frozen=True)
class Case:
    """A package made from a genuine signed one, and what is to be said of it."""

    name: str
    package: bytes
    outcome: SignatureOutcome
    reason: Reason


def _ds(tag: str) -> str:
    return f"{{{DS}}}{tag}"


def _forged(root: etree._Element) -> etree._Element:
    """A copy whose subject says something else, without its signature."""
    copy = etree.fromstring(etree.tostring(root))
    signature = copy.find(f".//{_ds('Signature')}")
    signature.getparent().remove(signature)
    copy.find(".//{*}Subject").text = "Chuyển tiền ngay"
    return copy


def _wrapping_cases() -> list[Case]:
    """XSW 1 to 8 (Somorovsky et al., On Breaking SAML), carried over to edXML packages."""
    genuine = sign(good_bytes("canonical-new"), pki().agency)
    by_id = sign(_with_id(good_bytes("canonical-new")), pki().agency, uri="#package")

    def parts(raw: bytes) -> tuple[etree._Element, etree._Element, etree._Element]:
        root = etree.fromstring(raw)
        return root, _forged(root), root.find(f".//{_ds('Signature')}")

    def written(root: etree._Element) -> bytes:
        return etree.tostring(root, encoding="utf-8")

    cases = []
    for kind, raw in (("", genuine), (", by id", by_id)):
        outer, forged, signature = parts(raw)
        # 1: the forged document around the genuine one, the signature at the forged root.
        forged.append(outer)
        cases.append((f"XSW 1: genuine inside forged{kind}", written(forged)))
        # 2: the same with the signature detached, beside the genuine document.
        outer, forged, signature = parts(raw)
        signature.getparent().remove(signature)
        forged.append(signature)
        forged.append(outer)
        cases.append((f"XSW 2: signature moved to the forged root{kind}", written(forged)))
        # 3: the forged element as sibling before the genuine one.
        outer, forged, signature = parts(raw)
        envelope = outer.find("{*}edXMLEnvelope")
        outer.insert(0, forged.find("{*}edXMLEnvelope"))
        cases.append((f"XSW 3: forged sibling before{kind}", written(outer)))
        # 4: the genuine element as child of the forged one.
        outer, forged, signature = parts(raw)
        envelope = outer.find("{*}edXMLEnvelope")
        fake = forged.find("{*}edXMLEnvelope")
        outer.replace(envelope, fake)
        fake.append(envelope)
        cases.append((f"XSW 4: genuine as child of forged{kind}", written(outer)))
        # 5: the signed header changed, an intact copy kept at the end.
        outer, forged, signature = parts(raw)
        outer.append(etree.fromstring(etree.tostring(outer.find("{*}edXMLEnvelope"))))
        outer.find(".//{*}Subject").text = "Chuyển tiền ngay"
        cases.append((f"XSW 5: changed, intact copy appended{kind}", written(outer)))
        # 6: the intact copy inside the signature.
        outer, forged, signature = parts(raw)
        copy = etree.fromstring(etree.tostring(outer))
        outer.find(".//{*}Subject").text = "Chuyển tiền ngay"
        signature.append(copy)
        cases.append((f"XSW 6: intact copy inside the signature{kind}", written(outer)))
        # 7: the intact copy in an extension element of the header.
        outer, forged, signature = parts(raw)
        extensions = etree.SubElement(outer, "Extensions")
        extensions.append(etree.fromstring(etree.tostring(outer.find("{*}edXMLEnvelope"))))
        outer.find(".//{*}Subject").text = "Chuyển tiền ngay"
        cases.append((f"XSW 7: intact copy in an extension{kind}", written(outer)))
        # 8: the intact copy in an Object of the signature.
        outer, forged, signature = parts(raw)
        copy = etree.fromstring(etree.tostring(outer))
        outer.find(".//{*}Subject").text = "Chuyển tiền ngay"
        etree.SubElement(signature, _ds("Object")).append(copy)
        cases.append((f"XSW 8: intact copy in an Object{kind}", written(outer)))
    return [Case(name, raw, INVALID, Reason.CHANGED) for name, raw in cases]


def _with_id(raw: bytes) -> bytes:
    return raw.replace(b"<edXML ", b'<edXML Id="package" ', 1)


@pytest.mark.parametrize("case", _wrapping_cases(), ids=lambda case: case.name)
def test_no_wrapped_document_is_believed(case: Case) -> None:
    """Wrapping is refused; the oracle: a valid verdict means that what is read was signed."""
    found = _check(case.package)
    assert found.outcome is INVALID, (found, case.name)


GENUINE = sign(good_bytes("canonical-new"), pki().agency)


def _with(form: str, **changes: object) -> tuple[str, bytes]:
    by = changes.pop("by", pki().agency)
    return form, sign(good_bytes("canonical-new"), by, **changes)


SPLIT = GENUINE.replace(b"<edXML:Subject>", b"<edXML:Subject>A<!-- -->", 1)
FORMS = [
    (*_with("reference by id", uri="#package"), INVALID, Reason.FORBIDDEN_FORM),
    (*_with("reference without URI", uri=None), INVALID, Reason.FORBIDDEN_FORM),
    (*_with("reference elsewhere", uri="http://x.test/"), INVALID, Reason.FORBIDDEN_FORM),
    (*_with("two references", references=2), INVALID, Reason.FORBIDDEN_FORM),
    (*_with("no reference", references=0), INVALID, Reason.FORBIDDEN_FORM),
    (*_with("no enveloped transform", transforms=(EXCLUSIVE,)), INVALID, Reason.FORBIDDEN_FORM),
    (
        *_with("xslt", transforms=(xml_signing.ENVELOPED, "http://www.w3.org/TR/1999/REC-xslt")),
        INVALID,
        Reason.FORBIDDEN_FORM,
    ),
    (
        *_with("three transforms", transforms=(xml_signing.ENVELOPED, EXCLUSIVE, EXCLUSIVE)),
        INVALID,
        Reason.FORBIDDEN_FORM,
    ),
    (
        *_with("form with comments", canonical=EXCLUSIVE + "WithComments"),
        INVALID,
        Reason.FORBIDDEN_FORM,
    ),
    (*_with("Object inside", inside="<Object/>"), INVALID, Reason.FORBIDDEN_FORM),
    (
        *_with("signature in the message header", place="edXMLEnvelope/edXMLHeader/MessageHeader"),
        INVALID,
        Reason.FORBIDDEN_FORM,
    ),
    (
        *_with("HMAC with the certificate as secret", hmac_secret=pki().agency.der),
        INVALID,
        Reason.ALGORITHM,
    ),
    (*_with("no algorithm", method="none"), INVALID, Reason.ALGORITHM),
    (
        *_with("algorithm of another kind", method=xml_signing.MORE + "ecdsa-sha256"),
        INVALID,
        Reason.CHANGED,
    ),
    (*_with("MD5 digest", digest_name="md5"), INVALID, Reason.ALGORITHM),
    (*_with("SHA-1", hash_name="sha1", digest_name="sha1"), UNVERIFIABLE, Reason.WEAK_ALGORITHM),
    (*_with("SHA-1 digest alone", digest_name="sha1"), UNVERIFIABLE, Reason.WEAK_ALGORITHM),
    (*_with("RSA-1024", by=pki().small), INVALID, Reason.KEY_TOO_SMALL),
    (*_with("no certificate", certificates=()), UNVERIFIABLE, Reason.NO_CERTIFICATE),
    (
        *_with("KeyInfo of another", certificates=[pki().other_agency.der]),
        INVALID,
        Reason.CHANGED,
    ),
    (
        *_with("KeyValue of another", key_value_of=pki().other_agency),
        INVALID,
        Reason.CERTIFICATE_MISMATCH,
    ),
    (
        "KeyValue alone",
        sign(
            good_bytes("canonical-new"),
            pki().agency,
            certificates=(),
            key_value_of=pki().agency,
        ),
        UNVERIFIABLE,
        Reason.NO_CERTIFICATE,
    ),
    ("comment that splits a value", SPLIT, INVALID, Reason.COMMENT),
    (
        "instruction in a value",
        GENUINE.replace(b"<edXML:Subject>", b"<edXML:Subject><?a b?>", 1),
        INVALID,
        Reason.COMMENT,
    ),
    (
        "DOCTYPE",
        GENUINE.replace(b"<edXML ", b"<!DOCTYPE edXML><edXML ", 1),
        INVALID,
        Reason.DTD,
    ),
    ("two signatures", sign(GENUINE, pki().official), INVALID, Reason.SEVERAL_SIGNATURES),
    ("cut off", GENUINE[:-20], UNVERIFIABLE, Reason.MALFORMED),
    (
        "SignatureValue that is none",
        GENUINE.replace(b"<SignatureValue>", b"<SignatureValue>!"),
        INVALID,
        Reason.CHANGED,
    ),
    (
        "changed package, DigestValue shortened",
        re.sub(
            b"<DigestValue>[^<]*",
            b"<DigestValue>AAAA",
            GENUINE.replace(b"</edXML:Subject>", b".</edXML:Subject>", 1),
        ),
        INVALID,
        Reason.CHANGED,
    ),
    (
        "DigestValue shortened, certificate damaged",
        re.sub(
            b"<X509Certificate>[^<]*",
            b"<X509Certificate>MIIF",
            re.sub(b"<DigestValue>[^<]*", b"<DigestValue>AAAA", GENUINE),
        ),
        UNVERIFIABLE,
        Reason.MALFORMED,
    ),
    (
        "the shape of a signature, fake values and no certificate",
        re.sub(
            b"<DigestValue>[^<]*",
            b"<DigestValue>AAAA",
            sign(good_bytes("canonical-new"), pki().agency, certificates=()),
        ),
        UNVERIFIABLE,
        Reason.PLACEHOLDER,
    ),
    (
        "xml:lang above, which canonical XML hands down",
        sign(
            GENUINE[:0]
            + good_bytes("canonical-new").replace(b"<edXML ", b'<edXML xml:lang="vi" ', 1),
            pki().agency,
        ),
        UNVERIFIABLE,
        Reason.UNSUPPORTED,
    ),
    (
        "subject changed",
        GENUINE.replace(b"</edXML:Subject>", b".</edXML:Subject>", 1),
        INVALID,
        Reason.CHANGED,
    ),
]


@pytest.mark.parametrize(
    ("package", "outcome", "reason"), [one[1:] for one in FORMS], ids=[one[0] for one in FORMS]
)
def test_other_forms_are_not_valid(
    package: bytes, outcome: SignatureOutcome, reason: Reason
) -> None:
    """Each form that is not taken has its outcome and reason."""
    found = _check(package)
    assert (found.outcome, found.reasons) == (outcome, (reason,)), found.detail


def test_sha1_counts_where_the_policy_says_so() -> None:
    """RSA-SHA1 of old packages is a matter of policy; a changed one is invalid under any."""
    package = sign(good_bytes("canonical-new"), pki().agency, hash_name="sha1", digest_name="sha1")
    assert _check(package, KeyPolicy(allow_sha1=True)).outcome is VALID
    changed = package.replace(b"</edXML:Subject>", b".</edXML:Subject>", 1)
    assert _check(changed, KeyPolicy(allow_sha1=True)).reasons == (Reason.CHANGED,)
    assert _check(changed).reasons == (Reason.CHANGED,)


def test_a_registered_certificate_serves_where_the_signature_names_none() -> None:
    """KeyInfo is optional: the registered certificates of the sender are tried, no others."""
    package = sign(good_bytes("canonical-new"), pki().agency, certificates=())
    assert _check(package, known=(pki().official.der, pki().agency.der)).outcome is VALID
    assert _check(package, known=(pki().official.der,)).reasons == (Reason.CHANGED,)


def test_a_large_header_is_not_taken_apart() -> None:
    """The skeleton is bounded: what is larger is unverifiable and costs no memory."""
    found = check_file(io.BytesIO(GENUINE), limits=replace(ReadLimits(), max_skeleton_bytes=500))
    assert (found.outcome, found.reasons) == (UNVERIFIABLE, (Reason.TOO_LARGE,))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_nothing_that_a_package_holds_makes_the_check_raise(data: st.DataObject) -> None:
    """Pieces cut out, doubled, exchanged and put in at random: always a result."""
    package = GENUINE
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(package)))
        end = data.draw(st.integers(start, min(len(package), start + 300)))
        piece = data.draw(
            st.sampled_from([b"", b"<", b"</Signature>", b"<Reference/>", b"\x00", b' xmlns="u"'])
            | st.binary(max_size=20)
            | st.just(package[start:end] * 2)
        )
        package = package[:start] + piece + package[end:]
    found = _check(package)
    if found.outcome is VALID:
        assert read_package([package]).package == read_package([GENUINE]).package


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_nothing_that_a_signed_text_holds_makes_its_check_raise(data: bytes) -> None:
    """Signed JSON: whatever comes, a result, and no payload without a fitting signature."""
    for text in (data, b".".join((base64.urlsafe_b64encode(data).rstrip(b"="), b"e30", b"AA"))):
        found = verify(text)
        assert found.signature.outcome is not VALID
        assert found.payload is None


def test_a_relative_namespace_has_no_canonical_form() -> None:
    """libxml2 refuses to canonicalise it: unverifiable, not a crash."""
    package = GENUINE.replace(b"<edXML ", b'<edXML xmlns:r="relative" ', 1)
    found = _check(package)
    assert (found.outcome, found.reasons) == (UNVERIFIABLE, (Reason.UNSUPPORTED,))
