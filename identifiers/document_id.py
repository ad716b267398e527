"""Names of documents: DocumentId (opaque, unique) and Code (số, ký hiệu).

QCVN 102 writes a DocumentId as ``OrganId,yyyy/MM/dd,number/notation``; the amendment of 2022 and
several vendors send a UUID instead. Comparison never looks inside (specification, section 2): the
sample packages of the national toolkit themselves carry a date that does not exist (30 February).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from identifiers.organ_id import OrganId
from identifiers.texts import Bilingual, clean, has_control, quote, remove_invisible

#: Longest DocumentId accepted, in characters.
MAX_LENGTH = 255

#: What `DocumentId.parse` takes, in one line for messages.
ALLOWED = (
    "OrganId,yyyy/MM/dd,number/notation, e.g. 000.00.00.G22,2015/09/30,7816/VPCP-TTĐT; or a UUID; "
    f"1 to {MAX_LENGTH} characters, no control characters"
)

_DATE = re.compile(r"([0-9]{4})/([0-9]{2})/([0-9]{2})")


@dataclass(frozen=True, slots=True)
class DocumentCode:
    """Number and notation of a document, e.g. ``7816`` and ``VPCP-TTĐT``. Either may be empty."""

    number: str = ""
    notation: str = ""

    @staticmethod
    def split_code(text: str) -> DocumentCode:
        """Read ``number/notation``: the number ends at the first slash, the rest is notation.

        ``20/2020/QĐ-TTg`` gives ``20`` and ``2020/QĐ-TTg``; a text without slash is all number.
        """
        number, _, notation = clean(text).partition("/")
        return DocumentCode(number.strip(), notation.strip())

    def __str__(self) -> str:
        return f"{self.number}/{self.notation}" if self.notation else self.number


@dataclass(frozen=True, slots=True)
class DocumentIdParts:
    """What a DocumentId of the regulation's form says: who, when, which."""

    organ_id: OrganId
    promulgation_date: date
    code: DocumentCode

    def __str__(self) -> str:
        day = self.promulgation_date
        return f"{self.organ_id},{day.year:04d}/{day.month:02d}/{day.day:02d},{self.code}"


@dataclass(frozen=True, slots=True)
class MalformedDocumentId:
    """A text that cannot name a document: what was found, what is allowed, and why."""

    found: str
    reason: Bilingual
    allowed: str = ALLOWED


@dataclass(frozen=True, slots=True, order=True)
class DocumentId:
    """The name of one document. Two are the same document exactly when their `text` is the same.

    `text` is NFC, trimmed, without invisible characters and with no-break spaces made plain; case
    is kept. Made by `parse`.
    """

    text: str

    @staticmethod
    def parse(text: str) -> DocumentId | MalformedDocumentId:
        """Read a DocumentId as it stands on the wire; never raises."""
        written = remove_invisible(text).strip()
        if has_control(written):
            return MalformedDocumentId(quote(text), _CONTROL)
        normal = clean(written)
        if not normal:
            return MalformedDocumentId(quote(text), _EMPTY)
        if len(normal) > MAX_LENGTH:
            return MalformedDocumentId(quote(text), _TOO_LONG)
        return DocumentId(normal)

    @property
    def parts(self) -> DocumentIdParts | None:
        """Sender, date and code where the text has the regulation's three comma parts, else None.

        For showing and for checks; never for comparing.
        """
        pieces = [piece.strip() for piece in self.text.split(",")]
        if len(pieces) != 3 or not pieces[2]:
            return None
        organ_id, day = OrganId.parse(pieces[0]), _calendar_date(pieces[1])
        if not isinstance(organ_id, OrganId) or day is None:
            return None
        return DocumentIdParts(organ_id, day, DocumentCode.split_code(pieces[2]))

    def __str__(self) -> str:
        return self.text


def _calendar_date(text: str) -> date | None:
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    try:
        return date(*(int(group) for group in match.groups()))
    except ValueError:
        return None


_EMPTY = Bilingual("Mã định danh văn bản để trống.", "The document id is empty.")
_TOO_LONG = Bilingual(
    f"Mã định danh văn bản dài quá {MAX_LENGTH} ký tự.",
    f"The document id is longer than {MAX_LENGTH} characters.",
)
_CONTROL = Bilingual(
    "Mã định danh văn bản có ký tự điều khiển hoặc xuống dòng ở giữa.",
    "The document id has a control character or a line break inside.",
)
