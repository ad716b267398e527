"""Writes tests/corpus/rules: packages that keep and that break each rule a file alone can tell.

``python -m tests.support.make_rule_corpus`` writes them anew, byte for byte the same each time.
A file is called ``<rule>--passes.edxml`` or ``<rule>--trips-<what>.edxml``. Rules that need more
than the file (signatures, scans, what the gateway knows) are tried with facts in
``tests/unit/envelopes/rules``.
"""

from __future__ import annotations

import unicodedata

from tests.support.make_corpus import (
    CORPUS,
    PDF,
    File,
    archive,
    message_header,
    package,
    trace,
)

RULE_CORPUS = CORPUS / "rules"
#: "Cộng hòa xã hội chủ nghĩa Việt Nam, Độc lập" as the old fonts' bytes have it.
TCVN3 = "Céng hßa x· héi chñ nghÜa ViÖt Nam, §éc lËp"
VNI = "Coäng hoøa xaõ hoäi chuû nghóa Vieät Nam, Ñoäc laäp"


def pdf(name: str = "7816_VPCP-TTDT.pdf", content_id: str = "1") -> File:
    """A small PDF under a name that every profile allows."""
    return File(content_id, name, PDF, "application/pdf")


def docx(signed: bool = False) -> bytes:
    """The skeleton of a Word file, with an OOXML signature or without."""
    parts = {
        "[Content_Types].xml": b"<Types/>",
        "_rels/.rels": b"<R/>",
        "word/document.xml": b"<d/>",
    }
    return archive(parts | ({"_xmlsignatures/sig1.xml": b"<S/>"} if signed else {}))


def sound(*files: File) -> bytes:
    """A package that keeps every rule that a file alone can tell."""
    packed = package(message_header(), trace(), files or (pdf(),))
    # One file is all there is: no appendix; as many pages as nobody can contradict.
    start = packed.index(b"          <edXML:Appendixes>")
    end = packed.index(b"</edXML:Appendixes>\n") + len(b"</edXML:Appendixes>\n")
    packed = packed[:start] + packed[end:]
    return packed.replace(b"          <edXML:PageAmount>22</edXML:PageAmount>\n", b"")


def changed(old: str, new: str, source: bytes | None = None) -> bytes:
    """`sound`, or `source`, with one thing changed. Raises ValueError where there is no `old`."""
    packed = source or sound()
    if old.encode() not in packed:
        raise ValueError(f"{old} is not in the package")
    return packed.replace(old.encode(), new.encode(), 1)


def subject(text: str) -> bytes:
    """`sound` with another subject."""
    return changed(
        ">V/v kết nối, liên thông phần mềm quản lý văn bản &amp; điều hành<", f">{text}<"
    )


def text_file(content: bytes, name: str = "phuluc.txt") -> bytes:
    """`sound` with a text file beside the PDF."""
    return sound(pdf(), File("2", name, content, "text/plain"))


def rule_corpus() -> dict[str, bytes]:
    """Every package by file name."""
    nfd = unicodedata.normalize("NFD", "V/v kết nối phần mềm")
    due = "      <edXML:DueDate>2025/07/15</edXML:DueDate>\n"
    long_name = f"{'a' * 47}.pdf"
    missing = sound().replace(b"<ContentId>cid:1<", b"<ContentId>cid:9<")
    asking = subject("V/v lấy ý kiến dự thảo Nghị định")
    made = {
        "file-name--passes": sound(),
        "file-name--trips-accents": sound(pdf("7816_VPCP-TTĐT.pdf")),
        "file-name--trips-long": sound(pdf(long_name)),
        "file-format--passes": sound(File("1", "a.docx", docx(), "application/zip")),
        "file-format--trips-program": sound(
            File("1", "a.pdf", b"MZ\x90\0\3\0\0\0", "application/pdf")
        ),
        "file-format--trips-disagree": sound(File("1", "a.pdf", docx(), "application/pdf")),
        "file-signed-pdf--passes": sound(File("1", "a.docx", docx(), "application/zip")),
        "file-signed-pdf--trips-word": sound(
            File("1", "a.docx", docx(signed=True), "application/zip")
        ),
        "file-charset--passes": text_file("Cộng hòa xã hội chủ nghĩa Việt Nam\n".encode()),
        "file-charset--trips-tcvn3": text_file(TCVN3.encode("latin-1")),
        "file-charset--trips-vni": text_file(VNI.encode("latin-1")),
        "file-charset--trips-tcvn3-header": subject(TCVN3),
        "file-charset--trips-nfd-header": subject(nfd),
        "file-complete--passes": sound(),
        "file-complete--trips-missing": missing,
        "file-complete--trips-appendixes": package(message_header(), trace(), (pdf(),)).replace(
            b"          <edXML:PageAmount>22</edXML:PageAmount>\n", b""
        ),
        "id-document--passes": sound(),
        "id-document--trips-date": changed("G22,2025/07/01,", "G22,2025/07/02,"),
        "head-required--passes": sound(),
        "head-required--trips-urgency": changed("<edXML:Priority>1</edXML:Priority>", ""),
        "head-required--trips-number": changed("<edXML:CodeNumber>7816<", "<edXML:CodeNumber><"),
        "head-reply--passes": asking,
        "head-reply--trips-asks": changed(due, "", asking),
        "head-reply--trips-due": changed("2025/07/15<", "2025/06/15<"),
        "head-secret--passes": subject("V/v bảo mật thông tin, bảo vệ bí mật nhà nước, mật độ"),
        "head-secret--trips-notation": changed(
            "<edXML:CodeNotation>VPCP-TTĐT<", "<edXML:CodeNotation>VPCP-TTĐT(MẬT)<"
        ),
        "head-secret--trips-subject": subject("(TỐI MẬT) V/v bố trí lực lượng"),
        "head-secret--trips-content": changed(
            "<edXML:Content>V/v", "<edXML:Content>Độ mật: Tuyệt mật. V/v"
        ),
        "head-secret--trips-file-name": sound(pdf("7816_TUYETMAT.pdf")),
        "head-secret--trips-page": text_file("UBND TỈNH\n    MẬT\nSố: 12/KH-UBND\n".encode()),
        "head-paper--passes": sound(),
        "head-paper--trips-letter": changed("<edXML:Paper>0<", "<edXML:Paper>1<"),
    }
    made["head-paper--passes-budget"] = changed(
        "<edXML:Paper>0<", "<edXML:Paper>1<", subject("V/v dự toán ngân sách năm 2026")
    )
    return made


def write() -> None:
    """Write the packages anew."""
    RULE_CORPUS.mkdir(parents=True, exist_ok=True)
    for old in RULE_CORPUS.glob("*.edxml"):
        old.unlink()
    for name, packed in rule_corpus().items():
        (RULE_CORPUS / f"{name}.edxml").write_bytes(packed)


if __name__ == "__main__":
    write()
