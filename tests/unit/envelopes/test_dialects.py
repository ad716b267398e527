"""Dialects: each known deviation is understood, recorded by name, and no fault is taken for one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from envelopes.model import BusinessDocType, Document, ResponseFor
from envelopes.read import read_package
from tests.unit.envelopes.packages import good_bytes


def _read(old: str, new: str, name: str = "canonical-new") -> tuple[Document, tuple[str, ...]]:
    packed = good_bytes(name)
    assert old.encode() in packed
    result = read_package([packed.replace(old.encode(), new.encode())])
    assert [finding.sentence.en for finding in result.findings if finding.refuses] == []
    assert isinstance(result.package, Document)
    return result.package, result.dialects


@pytest.mark.parametrize(
    ("dialect", "old", "new", "value", "expected"),
    [
        ("priority-5", "Priority>1<", "Priority>5<", lambda d: d.priority, 0),
        ("boolean-words", ">false<", ">FALSE<", lambda d: d.other_info.direction, False),
        ("not-applicable", ">TL. BỘ TRƯỞNG<", ">N/A<", lambda d: d.signer.competence, ""),
        ("not-applicable", ">2025/07/15<", ">N/A<", lambda d: d.due_date, None),
        (
            "day-first-dates",
            ">2025/07/15<",
            ">15/07/2025<",
            lambda d: d.due_date.isoformat(),
            "2025-07-15",
        ),
        (
            "day-first-dates",
            ">2025/07/01 08:30:00<",
            ">01/07/2025 08:30:00<",
            lambda d: d.trace[0].timestamp.isoformat(),
            "2025-07-01T08:30:00+07:00",
        ),
        (
            "text-list",
            "<edXML:Appendixes>",
            "<edXML:ReplyFors>12/UBND</edXML:ReplyFors><edXML:Appendixes>",
            lambda d: d.other_info.reply_fors,
            ("12/UBND",),
        ),
        (
            "business-spelling",
            "OrganizationInCharge",
            "OrganInCharge",
            lambda d: d.sender.organization_in_charge,
            "Chính phủ",
        ),
        (
            "content-id",
            "<ContentId>cid:209<",
            "<ContentId>209<",
            lambda d: (d.attachments[0].content_id, d.references[0].content_id),
            ("209", "209"),
        ),
        (
            "empty-elements",
            "<edXML:SteeringType>1</edXML:SteeringType>",
            "<edXML:ResponseFor><edXML:OrganId/><edXML:Code> </edXML:Code></edXML:ResponseFor>",
            lambda d: d.response_for,
            (),
        ),
    ],
)
def test_a_deviation_is_understood(
    dialect: str, old: str, new: str, value: Callable[[Document], object], expected: object
) -> None:
    """The model has the meaning, the result the name of the deviation."""
    document, dialects = _read(old, new)
    assert value(document) == expected
    assert dialect in dialects


def test_a_response_code_in_two_parts_becomes_one() -> None:
    """ResponseFor/Code is one text in the model, however it was written."""
    document, dialects = _read(
        ">267/UBND-VP</edXML:Code>",
        "><edXML:CodeNumber>267</edXML:CodeNumber>"
        "<edXML:CodeNotation>UBND-VP</edXML:CodeNotation></edXML:Code>",
        "canonical-reply",
    )
    assert document.response_for[0].code == "267/UBND-VP"
    assert "response-code" in dialects


def test_a_partly_empty_response_is_kept() -> None:
    """What a ResponseFor does say is read; its empty date is absent."""
    document, _ = _read(">2025/06/20<", "><", "canonical-reply")
    assert document.response_for == (
        ResponseFor("000.00.00.H41", "267/UBND-VP", "000.00.00.H41,2025/06/20,267/UBND-VP"),
    )


def test_without_business_a_document_is_new_and_the_clerk_is_told() -> None:
    """A missing Bussiness is no fault of the schema, but never silent."""
    packed = good_bytes("canonical-new")
    start, end = packed.index(b"      <edXML:TraceH"), packed.index(b"</edXML:TraceHeaderList>")
    result = read_package([packed[:start] + packed[end + len(b"</edXML:TraceHeaderList>") :]])
    assert isinstance(result.package, Document)
    assert result.package.business.doc_type is BusinessDocType.NEW
    assert [finding.rule for finding in result.findings] == ["HEAD-REQUIRED"]


def test_a_reference_by_xlink_alone_finds_its_file() -> None:
    """Vendor B may name the file only in xlink:href."""
    packed = good_bytes("vendor-b-new")
    line = b"        <edXML:ContentId>cid:209</edXML:ContentId>"
    assert line in packed
    result = read_package([packed.replace(line, b"")])
    assert isinstance(result.package, Document)
    assert [reference.content_id for reference in result.package.references] == ["209"]
    assert not result.refused


def test_children_after_the_content_are_read() -> None:
    """An attachment may give type and name after its content: wrapping is known in the end."""
    packed = good_bytes("canonical-new")
    kind = b"      <ContentType>application/zip</ContentType>\n"
    name = "      <AttachmentName>7816_VPCP-TTĐT.pdf</AttachmentName>\n".encode()
    assert kind in packed and name in packed
    moved = packed.replace(kind, b"").replace(name, b"")
    moved = moved.replace(b"    </Attachment>", kind + name + b"    </Attachment>")
    result = read_package([moved])
    assert isinstance(result.package, Document)
    file = result.package.attachments[0]
    assert (file.wrapped, file.content_type) == (True, "application/pdf")


def test_warnings_name_each_deviation_once() -> None:
    """A vendor's habit gives one warning, not one for every element."""
    findings = read_package([good_bytes("vendor-a-new")]).findings
    assert [finding.rule for finding in findings] == ["DIALECT"] * 3
