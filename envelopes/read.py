"""Reading a package: bytes of any dialect in, one model and all findings out, in constant memory.

`PackageReader` is pushed the bytes as they arrive, in blocks of any size, and never raises for what
they hold: whatever is wrong becomes a finding. Attachments are decoded, unwrapped, measured and
digested on the way; whoever wants their bytes gives an `attachment_sink` or asks
`open_attachment`, or `open_attachments` for all of them, later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from envelopes import element_names as names
from envelopes.attachments import Writer
from envelopes.dialects import Normalised, normalise
from envelopes.findings import Finding, refused
from envelopes.interpret import Interpreter
from envelopes.limits import ReadLimits, setting_name
from envelopes.model import Attachment, Document, Package, SignatureForm
from envelopes.node import Node
from envelopes.reading_checks import check_document, check_status, check_status_code
from envelopes.rule_catalogue import limit_finding
from envelopes.validate import validate
from envelopes.xml_scan import AttachmentSink, ScannedAttachment, Scanner
from schemas.catalogue import Kind

__all__ = [
    "AttachmentSink",
    "AttachmentUnreadable",
    "PackageReader",
    "ReadLimits",
    "ReadResult",
    "open_attachment",
    "open_attachments",
    "read_package",
]

#: While a file is re-read, this much of the package is handled at a time.
_REREAD_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True)
class ReadResult:
    """Everything one reading found.

    `package` is None where no model could be made; then at least one finding refuses. The two ids
    are the best that could be had even so, for messages only: never route or trust by them.
    """

    package: Package | None
    findings: tuple[Finding, ...]
    signature: SignatureForm = SignatureForm.ABSENT
    #: Names of the known deviations met (`envelopes.dialects`).
    dialects: tuple[str, ...] = ()
    kind: Kind | None = None
    sender_organ_id: str = ""
    document_id: str = ""
    #: Indexes of attachments whose sink was given bytes that are not the file: an archive that only
    #: its end told from a wrapped file, or a file found broken. Discard those bytes.
    discarded_sinks: tuple[int, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether a finding stops the package."""
        return refused(self.findings)


class PackageReader:
    """Reads one package: `feed` its bytes, then `close` once.

    `attachment_sink(content_id, index)` is called as the content of each attachment begins (the id
    as written, empty where it has not been seen yet) and may give a writer for the decoded,
    unwrapped bytes; see `ReadResult.discarded_sinks`.
    """

    def __init__(
        self, limits: ReadLimits | None = None, attachment_sink: AttachmentSink | None = None
    ) -> None:
        self._limits = limits or ReadLimits()
        self._sunk: set[int] = set()
        self._scanner = Scanner(self._limits, self._noting_sink(attachment_sink))
        self._result: ReadResult | None = None

    def _noting_sink(self, sink: AttachmentSink | None) -> AttachmentSink | None:
        if sink is None:
            return None

        def open_writer(content_id: str, index: int) -> Writer | None:
            writer = sink(content_id, index)
            if writer is not None:
                self._sunk.add(index)
            return writer

        return open_writer

    @property
    def stopped(self) -> bool:
        """Whether the package is hopeless already: further bytes change nothing."""
        return self._scanner.stopped

    def feed(self, block: bytes | bytearray | memoryview) -> None:
        """Take the next bytes of the package; cheap once `stopped`. Never raises for bad input."""
        self._scanner.feed(block)

    def close(self) -> ReadResult:
        """What the package is. Calling again gives the same result."""
        if self._result is None:
            self._scanner.close()
            self._result = self._conclude()
        return self._result

    def _conclude(self) -> ReadResult:
        scanner = self._scanner
        root = scanner.root
        if root is None or scanner.stopped:
            sender, document = _best_effort(root) if root is not None else ("", "")
            return ReadResult(
                package=None,
                findings=self._ordered(scanner.findings),
                sender_organ_id=sender,
                document_id=document,
                kind=_kind(root) if root is not None else None,
                discarded_sinks=self._discarded(),
            )
        normalised = normalise(root)
        kind = _kind(root)
        findings = [*scanner.findings, *normalised.findings]
        findings += validate(root, kind or "document", self._limits)
        sound = not any(finding.rule == "SCHEMA" for finding in findings)
        package, more = _interpret(root, kind or "document", scanner.attachments, sound)
        findings += more
        if any(finding.rule == "SCHEMA" for finding in findings):
            package = None
        return self._result_of(root, normalised, findings, package, kind)

    def _result_of(
        self,
        root: Node,
        normalised: Normalised,
        findings: list[Finding],
        package: Package | None,
        kind: Kind | None,
    ) -> ReadResult:
        broken = any(finding.rule.startswith("ATT-") and finding.refuses for finding in findings)
        sender, document = _best_effort(root)
        return ReadResult(
            # A document with a file that could not be read is no document to hand on.
            package=None if broken else package,
            findings=self._ordered(findings),
            signature=normalised.signature,
            dialects=normalised.dialects,
            kind=kind,
            sender_organ_id=sender,
            document_id=document,
            discarded_sinks=self._discarded(),
        )

    def _discarded(self) -> tuple[int, ...]:
        files = [attachment.file for attachment in self._scanner.attachments]
        return tuple(
            index
            for index, file in enumerate(files)
            if index in self._sunk and (file is None or not file.written)
        )

    def _ordered(self, findings: list[Finding]) -> tuple[Finding, ...]:
        """By line, refusals first on the same line; no more of them than the limit."""
        most = self._limits.max_findings
        unique = list(dict.fromkeys(findings))
        # What refuses is never cut away in favour of a warning.
        unique.sort(key=lambda finding: not finding.refuses)
        kept, rest = unique[:most], unique[most:]
        kept.sort(key=lambda finding: (finding.line or 0, not finding.refuses))
        if rest:
            more = limit_finding(
                "XML-LIMIT", setting_name("max_findings"), most, len(unique), element="findings"
            )
            kept.append(more)
        return tuple(kept)


def read_package(
    chunks: Iterable[bytes],
    limits: ReadLimits | None = None,
    attachment_sink: AttachmentSink | None = None,
) -> ReadResult:
    """Read a whole package from `chunks`; stops asking for more once it is hopeless."""
    reader = PackageReader(limits, attachment_sink)
    for chunk in chunks:
        reader.feed(chunk)
        if reader.stopped:
            break
    return reader.close()


class AttachmentUnreadable(Exception):
    """The attachment asked for is not in the package or its content is broken.

    `findings` say why; a package that was read without refusal never gives it for its own files.
    """

    def __init__(self, content_id: str, findings: tuple[Finding, ...] = ()) -> None:
        why = "; ".join(finding.sentence.en for finding in findings) or "no such attachment"
        super().__init__(f"attachment {content_id!r}: {why}")
        self.findings = findings


def open_attachment(
    chunks: Iterable[bytes], attachment: Attachment | str, limits: ReadLimits | None = None
) -> Iterator[bytes]:
    """The bytes of one file, decoded and unwrapped, as a stream over the package's bytes.

    Give the `Attachment` that reading found (its `wrapped` decides); with a mere content id the
    wrapping is found out again, which an archive of several files under another kind of name
    defeats. Raises AttachmentUnreadable, for a broken file at the end of what could be read: its
    bytes count only once the iterator is exhausted.
    """
    if isinstance(attachment, Attachment):
        content_id, wrapped = attachment.content_id, attachment.wrapped
    else:
        content_id, wrapped = _bare(attachment), None
    pieces: deque[bytes] = deque()
    taken: list[int] = []

    def sink(written_id: str, index: int) -> Writer | None:
        if taken or _bare(written_id) != content_id:
            return None
        taken.append(index)
        return pieces.append

    force = None if wrapped is None else lambda _index: wrapped
    scanner = Scanner(limits or ReadLimits(), sink, force_wrapped=force)
    for chunk in chunks:
        for start in range(0, len(chunk), _REREAD_BYTES):
            scanner.feed(chunk[start : start + _REREAD_BYTES])
            while pieces:
                yield pieces.popleft()
        if scanner.stopped or (taken and scanner.attachments[taken[0]].seen_content):
            break
    else:
        scanner.close()
        yield from pieces
    if not taken:
        raise AttachmentUnreadable(content_id, tuple(scanner.findings))
    found = scanner.attachments[taken[0]]
    if found.file is None or not found.file.written:
        raise AttachmentUnreadable(content_id, tuple(scanner.findings))


def open_attachments(
    chunks: Iterable[bytes], attachments: Sequence[Attachment], limits: ReadLimits | None = None
) -> Iterator[tuple[int, bytes | None]]:
    """The bytes of all files in one pass, decoded and unwrapped: index and piece, file after file.

    Give all attachments that reading found, in their order. A file's bytes count only once its
    index came with None, which stands at its end; a broken file has no such end.
    """
    pieces: deque[tuple[int, bytes]] = deque()

    def sink(_content_id: str, index: int) -> Writer | None:
        def keep(piece: bytes) -> None:
            pieces.append((index, piece))

        return keep if index < len(attachments) else None

    def force(index: int) -> bool | None:
        return attachments[index].wrapped if index < len(attachments) else None

    scanner = Scanner(limits or ReadLimits(), sink, force_wrapped=force)
    ended = 0
    for _ in _fed(scanner, chunks):
        # Where another file has begun, the one before is over, with or without content.
        last = scanner.attachments[-1:]
        over = len(scanner.attachments) - (0 if last and last[0].seen_content else len(last))
        yield from _in_order(pieces, scanner.attachments[ended:over], ended)
        ended = over
        if ended >= len(attachments):
            break


def _fed(scanner: Scanner, chunks: Iterable[bytes]) -> Iterator[None]:
    """Feed a scanner in small steps until nothing more can come."""
    for chunk in chunks:
        for start in range(0, len(chunk), _REREAD_BYTES):
            scanner.feed(chunk[start : start + _REREAD_BYTES])
            yield
        if scanner.stopped:
            return
    scanner.close()
    yield


def _in_order(
    pieces: deque[tuple[int, bytes]], settled: Sequence[ScannedAttachment], first: int
) -> Iterator[tuple[int, bytes | None]]:
    """What one step gave: the settled files each with its end, then the beginning of the next."""
    for index, attachment in enumerate(settled, first):
        while pieces and pieces[0][0] == index:
            yield pieces.popleft()
        if attachment.file is not None and attachment.file.written:
            yield index, None
    while pieces:
        yield pieces.popleft()


def _bare(content_id: str) -> str:
    """`content_id` without its ``cid:``."""
    text = content_id.strip(" \t\r\n")
    # XML's white space only: other blanks are part of an id.
    return text[len(names.CID) :].strip(" \t\r\n") if text[:4].lower() == names.CID else text


def _header_of(root: Node) -> Node | None:
    return root.first(names.ENVELOPE, names.HEADER, names.MESSAGE_HEADER)


def _best_effort(root: Node) -> tuple[str, str]:
    """Sender and document as far as they can be read from a package that may be broken."""
    header = _header_of(root)
    if header is None:
        return "", ""
    document = header.text_of(names.DOCUMENT_ID) or header.text_of(
        names.RESPONSE_FOR, names.DOCUMENT_ID
    )
    return header.text_of(names.FROM, names.ORGAN_ID).strip(), document.strip()


def _kind(root: Node) -> Kind | None:
    """Whether a package is a status report or a document, by what its header holds."""
    header = _header_of(root)
    if header is None or not header.children:
        return None
    if header.first(names.STATUS_CODE) is not None:
        return "status"
    addressed = header.first(names.TO) or header.first(names.DOCUMENT_ID)
    reports = header.first(names.RESPONSE_FOR) or header.first(names.STAFF_INFO)
    return "status" if addressed is None and reports is not None else "document"


def _interpret(
    root: Node, kind: Kind, scanned: list[ScannedAttachment], sound: bool
) -> tuple[Package | None, list[Finding]]:
    """Model and further findings; of an unsound package only the findings that still make sense."""
    interpreter = Interpreter()
    if kind == "status":
        report = interpreter.status(root)
        if not sound:
            return None, list(check_status_code(report, root))
        return report, [*interpreter.findings, *check_status(report, root)]
    files = [(attachment.node, attachment.file) for attachment in scanned]
    document: Document = interpreter.document(root, files)
    if not sound:
        return None, list(check_document(document, root, files_only=True))
    return document, [*interpreter.findings, *check_document(document, root)]
