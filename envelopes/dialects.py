"""The known deviations from the standard, one function each (specification, sections 2 to 9).

`normalise` turns the tree of a package of any known dialect into the canonical tree: the standard's
names, order and forms, lines kept. What is no known dialect is left for the schema to refuse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from envelopes import element_names as names
from envelopes.findings import Finding, Sentence
from envelopes.model import SignatureForm
from envelopes.node import Node
from envelopes.rule_catalogue import make


@dataclass(frozen=True, slots=True)
class Deviation:
    """One place where a package departs from the standard: what stood there, how it was read."""

    node: Node
    found: str
    read_as: str | Sentence


#: Changes the tree in place; gives each deviation met. The list is the tree in document order.
DialectFunction = Callable[[list[Node]], Iterator[Deviation]]

_SPELLINGS = {
    "Business": names.BUSINESS,
    "BusinessDocType": names.BUSINESS_DOC_TYPE,
    "BusinessDocReason": names.BUSINESS_DOC_REASON,
    "BusinessDocumentInfo": names.BUSINESS_DOCUMENT_INFO,
    "OrganInCharge": names.ORGANIZATION_IN_CHARGE,
}
_DATES = frozenset({names.PROMULGATION_DATE, names.DUE_DATE})
_DAY_FIRST = re.compile(r"(\d{2})/(\d{2})/(\d{4})(| \d{2}:\d{2}:\d{2})")
_TRACE_ATTRIBUTES = frozenset({"id", "version", "mustUnderstand", "actor"})
_VERSION_IN_NAMESPACE = f"{names.NAMESPACE} {names.VERSION}"
_XLINK_HREF = f"{names.XLINK_NAMESPACE} {names.HREF}"
#: Texts that stand for an absent one.
NOT_APPLICABLE = frozenset({"N/A", "n/a"})


def unqualified(nodes: list[Node]) -> Iterator[Deviation]:
    """Elements of the standard without a namespace, as where the root declares only a prefix."""
    for node in nodes:
        if not node.namespace and (node.tag in names.KNOWN or node.tag in _SPELLINGS):
            node.namespace = names.NAMESPACE
            yield Deviation(node, f"<{node.tag}>", f"<{names.PREFIX}:{node.tag}>")


def business_spelling(nodes: list[Node]) -> Iterator[Deviation]:
    """``Business…`` for the standard's ``Bussiness…``, ``OrganInCharge`` (vendor A)."""
    for node in nodes:
        right = _SPELLINGS.get(node.tag)
        if right is not None and node.namespace == names.NAMESPACE:
            deviation = Deviation(node, f"<{node.tag}>", f"<{right}>")
            node.tag = right
            yield deviation


def not_applicable(nodes: list[Node]) -> Iterator[Deviation]:
    """``N/A`` for an absent text (vendor B)."""
    for node in nodes:
        if node.text in NOT_APPLICABLE and not node.children:
            deviation = Deviation(node, node.text, Sentence("để trống", "absent"))
            node.text = ""
            yield deviation


def day_first_dates(nodes: list[Node]) -> Iterator[Deviation]:
    """Dates ``dd/MM/yyyy`` and timestamps ``dd/MM/yyyy HH:mm:ss`` (vendor A)."""
    for node in nodes:
        if node.tag not in _DATES and node.tag != names.TIMESTAMP:
            continue
        match = _DAY_FIRST.fullmatch(node.text)
        if match is not None:
            day, month, year, rest = match.groups()
            read_as = f"{year}/{month}/{day}{rest}"
            yield Deviation(node, node.text, read_as)
            node.text = read_as


def priority_five(nodes: list[Node]) -> Iterator[Deviation]:
    """Priority ``5``, which one vendor writes for ordinary."""
    for node in nodes:
        if node.tag == names.PRIORITY and node.text == "5":
            yield Deviation(node, "5", Sentence("0 (Thường)", "0 (ordinary)"))
            node.text = "0"


def boolean_words(nodes: list[Node]) -> Iterator[Deviation]:
    """``True``, ``FALSE`` or a digit where the standard writes ``true`` or ``false``."""
    for node in nodes:
        if node.tag != names.DIRECTION or node.text in ("true", "false", ""):
            continue
        word = {"1": "true", "0": "false"}.get(node.text, node.text.lower())
        if word in ("true", "false"):
            yield Deviation(node, node.text, word)
            node.text = word


def trace_attributes(nodes: list[Node]) -> Iterator[Deviation]:
    """Attributes of SOAP on TraceHeaderList (vendor B)."""
    for node in nodes:
        if node.tag == names.TRACE_HEADER_LIST:
            present = {name.rpartition(" ")[2] for name in node.attributes} & _TRACE_ATTRIBUTES
            if present:
                yield Deviation(node, ", ".join(sorted(present)), Sentence("không có", "none"))


def manifest_version(nodes: list[Node]) -> Iterator[Deviation]:
    """The manifest's ``version`` attribute written in the edXML namespace (vendor A)."""
    for node in nodes:
        if node.tag == names.MANIFEST and _VERSION_IN_NAMESPACE in node.attributes:
            version = node.attributes.pop(_VERSION_IN_NAMESPACE)
            node.attributes.setdefault(names.VERSION, version)
            yield Deviation(node, f"{names.PREFIX}:{names.VERSION}", names.VERSION)


def digital_signature(nodes: list[Node]) -> Iterator[Deviation]:
    """An empty DigitalSignature element in the place of a Signature (vendor B)."""
    for node in nodes:
        if node.tag == names.DIGITAL_SIGNATURE:
            yield Deviation(
                node, f"<{node.tag}>", Sentence("chữ ký không kiểm được", "not verifiable")
            )


def xlink_references(nodes: list[Node]) -> Iterator[Deviation]:
    """A manifest Reference that names its attachment in ``xlink:href`` (vendor B)."""
    for node in nodes:
        if node.tag != names.REFERENCE or _XLINK_HREF not in node.attributes:
            continue
        href = node.attributes.pop(_XLINK_HREF)
        yield Deviation(node, f"xlink:href={href}", names.CONTENT_ID)
        given = node.first(names.CONTENT_ID)
        if given is None:
            node.children.append(Node(names.CONTENT_ID, names.NAMESPACE, node.line, href))
        elif not given.text:
            given.text = href


def content_ids(nodes: list[Node]) -> Iterator[Deviation]:
    """``cid:`` before a ContentId: both sides carry it (national toolkit) or only one does."""
    bare: dict[str, list[Node]] = {names.REFERENCE: [], names.ATTACHMENT: []}
    prefixed: dict[str, list[Node]] = {names.REFERENCE: [], names.ATTACHMENT: []}
    for parent in nodes:
        if parent.tag not in bare:
            continue
        for node in parent.all(names.CONTENT_ID):
            if node.text[: len(names.CID)].lower() == names.CID:
                node.text = node.text[len(names.CID) :].strip(" \t\r\n")
                prefixed[parent.tag].append(node)
            elif node.text:
                bare[parent.tag].append(node)
    for one, other in ((names.REFERENCE, names.ATTACHMENT), (names.ATTACHMENT, names.REFERENCE)):
        if prefixed[one] and bare[other]:
            node = bare[other][0]
            yield Deviation(node, node.text, names.CID + node.text)


def response_code_parts(nodes: list[Node]) -> Iterator[Deviation]:
    """ResponseFor/Code in two parts, as a document's own Code is written."""
    for node in nodes:
        code = node.first(names.CODE) if node.tag == names.RESPONSE_FOR else None
        if code is not None and code.children and not code.text:
            number = code.text_of(names.CODE_NUMBER)
            notation = code.text_of(names.CODE_NOTATION)
            code.text = "/".join(part for part in (number, notation) if part)
            code.children = []
            yield Deviation(code, f"<{names.CODE_NUMBER}>, <{names.CODE_NOTATION}>", code.text)


def text_for_list(nodes: list[Node]) -> Iterator[Deviation]:
    """A list written as one text (``<ReplyFors>12/UBND</ReplyFors>``)."""
    for node in nodes:
        item = names.TEXT_OR_CHILDREN.get(node.tag)
        if item is not None and node.text and not node.children:
            yield Deviation(node, node.text, f"<{item}>{node.text}</{item}>")
            node.children.append(Node(item, names.NAMESPACE, node.line, node.text))
            node.text = ""


#: Name of a deviation (as `ReadResult.dialects` gives it) and its function, in the order applied.
DIALECTS: tuple[tuple[str, DialectFunction], ...] = (
    ("unqualified", unqualified),
    ("business-spelling", business_spelling),
    ("not-applicable", not_applicable),
    ("day-first-dates", day_first_dates),
    ("priority-5", priority_five),
    ("boolean-words", boolean_words),
    ("trace-attributes", trace_attributes),
    ("manifest-version", manifest_version),
    ("digital-signature", digital_signature),
    ("xlink-reference", xlink_references),
    ("content-id", content_ids),
    ("response-code", response_code_parts),
    ("text-list", text_for_list),
)
#: Deviations so common that they are recorded without a finding.
CHILD_ORDER, EMPTY_ELEMENTS = "child-order", "empty-elements"

#: (parent, child) that stay even when empty, for the schema to judge: what the standard demands,
#: and dates, whose empty form is a mistake and no dialect (specification, section 9).
_KEPT_WHEN_EMPTY = frozenset(
    {
        (names.EDXML, names.ENVELOPE),
        (names.ENVELOPE, names.HEADER),
        (names.HEADER, names.MESSAGE_HEADER),
        (names.MESSAGE_HEADER, names.FROM),
        (names.MESSAGE_HEADER, names.TO),
        (names.MESSAGE_HEADER, names.DOCUMENT_ID),
        (names.MESSAGE_HEADER, names.CODE),
        (names.MESSAGE_HEADER, names.PROMULGATION_INFO),
        (names.MESSAGE_HEADER, names.DOCUMENT_TYPE),
        (names.MESSAGE_HEADER, names.SUBJECT),
        (names.MESSAGE_HEADER, names.DUE_DATE),
        (names.MESSAGE_HEADER, names.STATUS_CODE),
        (names.MESSAGE_HEADER, names.TIMESTAMP),
        (names.PROMULGATION_INFO, names.PROMULGATION_DATE),
        (names.TRACE_HEADER, names.TIMESTAMP),
        (names.FROM, names.ORGAN_ID),
        (names.TO, names.ORGAN_ID),
        (names.BUSINESS, names.BUSINESS_DOC_TYPE),
        (names.RECEIVER, names.ORGAN_ID),
        (names.REPLACEMENT_INFO, names.DOCUMENT_ID),
        (names.REFERENCE, names.CONTENT_ID),
        (names.ATTACHMENT, names.CONTENT_ID),
        (names.ATTACHMENT, names.CONTENT_TRANSFER_ENCODED),
    }
)
_ORDER = {
    parent: {tag: place for place, tag in enumerate(tags)}
    for parent, tags in names.CHILDREN.items()
}
#: More findings than these help nobody.
_MAX_FINDINGS = 200
_SIGNATURES = frozenset({names.SIGNATURE, names.DIGITAL_SIGNATURE})


@dataclass(frozen=True, slots=True)
class Normalised:
    """What `normalise` saw: deviations by name, findings about them, and the signature's form."""

    dialects: tuple[str, ...]
    findings: list[Finding]
    signature: SignatureForm


def normalise(root: Node) -> Normalised:
    """Make `root` canonical in place, its signatures taken out."""
    signatures = _detach_signatures(root)
    nodes = list(root.walk())
    met: list[str] = []
    findings: list[Finding] = []
    was_absent = {id(node) for node in nodes if node.text in NOT_APPLICABLE}
    for name, function in DIALECTS:
        deviations = list(function(signatures if function is digital_signature else nodes))
        if deviations:
            met.append(name)
            first = deviations[0]
            findings.append(
                make(
                    "DIALECT",
                    element=first.node.tag,
                    line=first.node.line,
                    found=first.found,
                    allowed=first.read_as,
                )
            )
    tidy = _Tidying(findings, was_absent)
    tidy.tidy(root)
    if tidy.dropped_empty:
        met.append(EMPTY_ELEMENTS)
    if tidy.reordered:
        met.append(CHILD_ORDER)
    return Normalised(tuple(met), findings, _signature_form(signatures))


def _detach_signatures(root: Node) -> list[Node]:
    """Take every signature out of the tree: what one says is no part of the header."""
    found: list[Node] = []
    stack = [root]
    while stack:
        node = stack.pop()
        inside = [child for child in node.children if child.tag in _SIGNATURES]
        if inside:
            found.extend(inside)
            node.children = [child for child in node.children if child.tag not in _SIGNATURES]
        stack.extend(node.children)
    return found


def _signature_form(signatures: list[Node]) -> SignatureForm:
    """What kind of signature a package carries, before any verification (section 6)."""
    if not signatures:
        return SignatureForm.ABSENT
    verifiable = any(
        node.tag == names.SIGNATURE
        and all(part.namespace == names.DSIG_NAMESPACE for part in (node, *node.children))
        and node.text_of(names.SIGNATURE_VALUE)
        and node.text_of(names.SIGNED_INFO, names.REFERENCE, names.DIGEST_VALUE)
        for node in signatures
    )
    return SignatureForm.XML_DSIG if verifiable else SignatureForm.PLACEHOLDER


class _Tidying:
    """Drops what is empty or foreign and puts children into canonical order."""

    def __init__(self, findings: list[Finding], was_absent: set[int]) -> None:
        self.findings = findings
        self.was_absent = was_absent
        self.dropped_empty = False
        self.reordered = False

    def tidy(self, node: Node) -> None:
        order = _ORDER.get(node.tag)
        kept: list[Node] = []
        for child in node.children:
            if order is not None and self._is_foreign(node, child):
                continue
            if child.children:
                self.tidy(child)
            if self._is_empty(node, child):
                self.dropped_empty = True
            else:
                kept.append(child)
        if order is not None and len(kept) > 1:
            last = len(order)
            places = [order.get(child.tag, last) for child in kept]
            if places != sorted(places):
                self.reordered = True
                kept.sort(key=lambda child: order.get(child.tag, last))
        node.children = kept

    def _is_empty(self, parent: Node, child: Node) -> bool:
        if child.text or child.children:
            return False
        if (parent.tag, child.tag) not in _KEPT_WHEN_EMPTY:
            return True
        return child.tag == names.DUE_DATE and id(child) in self.was_absent

    def _is_foreign(self, parent: Node, child: Node) -> bool:
        """Whether the standard knows no such element; noted, since it will not be read."""
        if child.namespace == names.NAMESPACE and child.tag in names.KNOWN:
            return False
        if len(self.findings) >= _MAX_FINDINGS:
            return True
        self.findings.append(
            make(
                "UNKNOWN-ELEMENT",
                element=parent.tag,
                line=child.line,
                found=child.tag,
                allowed=", ".join(names.CHILDREN[parent.tag]),
            )
        )
        return True
