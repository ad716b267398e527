"""PDFs with signatures of every kind, made with pyHanko's signing side."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from asn1crypto import crl as asn1_crl
from asn1crypto import ocsp as asn1_ocsp
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import pdf_name
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.writer import PageObject, PdfFileWriter
from pyhanko.sign import fields, signers
from pyhanko.sign.timestamps import TimeStamper
from pyhanko.sign.timestamps.dummy_client import DummyTimeStamper
from pyhanko.sign.validation import DocumentSecurityStore
from pyhanko_certvalidator.registry import SimpleCertificateStore

from tests.support.pki import Credential


def make_pdf(text: str = "Quyết định", pages: int = 1, filler: int = 0) -> bytes:
    """A small PDF."""
    writer = PdfFileWriter()
    for number in range(pages):
        content = f"BT /F1 12 Tf 72 720 Td ({text.encode().hex()} {number}) Tj ET".encode()
        stream = writer.add_object(generic.StreamObject(stream_data=content + b" " * filler))
        writer.insert_page(PageObject(contents=stream, media_box=(0, 0, 595, 842)))
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def store(credential: Credential) -> SimpleCertificateStore:
    """The authorities of a credential, to be embedded."""
    found = SimpleCertificateStore()
    for one in credential.chain:
        found.register(asn1_x509.Certificate.load(one.public_bytes(Encoding.DER)))
    return found


@dataclass(frozen=True)
class PdfForm:
    """How to sign a PDF."""

    field: str = "Signature1"
    digest: str = "sha256"
    timestamper: TimeStamper | None = None
    pades: bool = True
    #: Whether the signature certifies the document and forbids changes.
    no_changes: bool = False


def sign_pdf(pdf: bytes, by: Credential, form: PdfForm | None = None, **changes: object) -> bytes:
    """`pdf` with one more signature."""
    form = form or PdfForm(**changes)  # type: ignore[arg-type]
    signer = signers.SimpleSigner(
        signing_cert=by.asn1, signing_key=by.asn1_key, cert_registry=store(by)
    )
    meta = signers.PdfSignatureMetadata(
        field_name=form.field,
        md_algorithm=form.digest,
        subfilter=fields.SigSeedSubFilter.PADES if form.pades else None,
        certify=form.no_changes,
        docmdp_permissions=(
            fields.MDPPerm.NO_CHANGES if form.no_changes else fields.MDPPerm.FILL_FORMS
        ),
    )
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    out = io.BytesIO()
    signers.PdfSigner(meta, signer, timestamper=form.timestamper).sign_pdf(writer, output=out)
    return out.getvalue()


def time_stamper(tsa: Credential, at: datetime) -> DummyTimeStamper:
    """A time-stamping authority that says it is `at`."""
    return DummyTimeStamper(tsa.asn1, tsa.asn1_key, store(tsa), fixed_dt=at)


def stamp_pdf(pdf: bytes, stamper: TimeStamper, field: str = "Stamp") -> bytes:
    """`pdf` with a document time stamp."""
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    out = io.BytesIO()
    signers.PdfTimeStamper(stamper, field_name=field).timestamp_pdf(
        writer, md_algorithm="sha256", output=out
    )
    return out.getvalue()


def with_evidence(
    pdf: bytes,
    crls: Sequence[bytes] = (),
    ocsps: Sequence[bytes] = (),
    certificates: Sequence[bytes] = (),
) -> bytes:
    """`pdf` with a document security store appended (PAdES B-LT)."""
    stream = io.BytesIO(pdf)
    DocumentSecurityStore.add_dss(
        stream,
        sig_contents=PdfFileReader(io.BytesIO(pdf))
        .embedded_signatures[-1]
        .pkcs7_content.hex()
        .encode(),
        certs=[asn1_x509.Certificate.load(one) for one in certificates],
        crls=[asn1_crl.CertificateList.load(one) for one in crls],
        ocsps=[asn1_ocsp.OCSPResponse.load(one) for one in ocsps],
    )
    return stream.getvalue()


def replace_page(pdf: bytes, text: str = "Nội dung khác") -> bytes:
    """A shadow attack: what the first page shows is replaced by an incremental update."""
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    page = writer.root["/Pages"]["/Kids"][0]
    content = f"BT /F1 12 Tf 72 720 Td ({text.encode().hex()}) Tj ET".encode()
    page[pdf_name("/Contents")] = writer.add_object(generic.StreamObject(stream_data=content))
    writer.update_container(page)
    return _written(writer)


def hide_by_overlay(pdf: bytes) -> bytes:
    """A shadow attack: an annotation laid over the text."""
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    page = writer.root["/Pages"]["/Kids"][0]
    note = generic.DictionaryObject(
        {
            pdf_name("/Type"): pdf_name("/Annot"),
            pdf_name("/Subtype"): pdf_name("/FreeText"),
            pdf_name("/Rect"): generic.ArrayObject(map(generic.NumberObject, (0, 0, 595, 842))),
            pdf_name("/Contents"): generic.TextStringObject("Nội dung khác"),
        }
    )
    annotations = generic.ArrayObject([*page.get("/Annots", ()), writer.add_object(note)])
    page[pdf_name("/Annots")] = annotations
    writer.update_container(page)
    return _written(writer)


def swap_catalog(pdf: bytes) -> bytes:
    """A shadow attack: another page tree put in the place of the signed one."""
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    pages = writer.root.raw_get("/Pages").get_object()
    other = generic.DictionaryObject(dict(pages))
    other[pdf_name("/Kids")] = generic.ArrayObject([])
    other[pdf_name("/Count")] = generic.NumberObject(0)
    writer.root[pdf_name("/Pages")] = writer.add_object(other)
    writer.update_root()
    return _written(writer)


def add_field(pdf: bytes, name: str = "Later") -> bytes:
    """An empty signature field put in after signing, and never signed."""
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    fields.append_signature_field(writer, fields.SigFieldSpec(name))
    return _written(writer)


def cover_page(pdf: bytes, stamper: TimeStamper | None = None, field: str = "Stamp") -> bytes:
    """A signature field over the whole page that shows another text, under a document time stamp.

    Without `stamper` the field is made, with its appearance, and stays empty.
    """
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    box = (0, 0, 595, 842)
    fields.append_signature_field(writer, fields.SigFieldSpec(field, on_page=0, box=box))
    widget = writer.root["/AcroForm"]["/Fields"][-1]
    text = b"1 1 1 rg 0 0 595 842 re f"
    appearance = generic.StreamObject(
        {
            pdf_name("/Type"): pdf_name("/XObject"),
            pdf_name("/Subtype"): pdf_name("/Form"),
            pdf_name("/BBox"): generic.ArrayObject(map(generic.NumberObject, box)),
        },
        stream_data=text,
    )
    widget[pdf_name("/AP")] = generic.DictionaryObject(
        {pdf_name("/N"): writer.add_object(appearance)}
    )
    if stamper is None:
        return _written(writer)
    out = io.BytesIO()
    signers.PdfTimeStamper(stamper, field_name=field).timestamp_pdf(
        writer, md_algorithm="sha256", output=out
    )
    return out.getvalue()


def retitled(pdf: bytes, title: str | None) -> bytes:
    """Another title in an update; with None only the date of change and the tool's name."""
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    info = generic.DictionaryObject()
    if title is not None:
        info[pdf_name("/Title")] = generic.TextStringObject(title)
    writer.set_info(writer.add_object(info))
    return _written(writer)


def with_xmp(pdf: bytes, title: str) -> bytes:
    """`pdf` with a metadata stream (XMP) that has a title; its date of change is now."""
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    # From this version on a PDF has one.
    writer.ensure_output_version((2, 0))
    writer._meta.title = title
    writer.update_root()
    return _written(writer)


def encrypted(pdf: bytes) -> bytes:
    """A protected copy."""
    writer = PdfFileWriter()
    writer.encrypt(owner_pass="mật khẩu", user_pass="mật khẩu")
    content = writer.add_object(generic.StreamObject(stream_data=b"BT ET"))
    writer.insert_page(PageObject(contents=content, media_box=(0, 0, 595, 842)))
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def flipped(pdf: bytes, needle: bytes) -> bytes:
    """One bit of the first occurrence of `needle` turned over."""
    at = pdf.index(needle)
    return pdf[:at] + bytes([pdf[at] ^ 1]) + pdf[at + 1 :]


def _written(writer: IncrementalPdfFileWriter) -> bytes:
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def time_bomb(numbers: int) -> bytes:
    """A PDF whose catalogue holds so many numbers: a million of them are seconds of parsing."""
    body = b"%PDF-1.7\n1 0 obj\n<</Type/Catalog/Pages 2 0 R/X[" + b"1 " * numbers + b"]>>\nendobj\n"
    second = len(body)
    body += b"2 0 obj\n<</Type/Pages/Kids[]/Count 0>>\nendobj\n"
    table = b"xref\n0 3\n0000000000 65535 f \n0000000009 00000 n \n%010d 00000 n \n" % second
    tail = b"trailer\n<</Size 3/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % len(body)
    return body + table + tail
