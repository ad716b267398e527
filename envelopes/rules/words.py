"""How people are told what programs have codes for: reasons, signers, outcomes, kinds of files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime

from envelopes.content_types import OCTETS, ZIP, ZIP_KINDS
from envelopes.findings import Sentence
from envelopes.signature_facts import Reason, SignatureOutcome, SignerKind

REASONS: Mapping[Reason, Sentence] = {
    Reason.CHANGED: Sentence("nội dung không khớp chữ ký", "the content does not fit"),
    Reason.CHANGED_LATER: Sentence("bị sửa sau khi ký", "changed after signing"),
    Reason.APPENDED: Sentence("có dữ liệu thêm vào sau chữ ký", "something was appended"),
    Reason.NOT_WHOLE: Sentence("chữ ký không bao trùm cả tệp", "not all of the file is signed"),
    Reason.FORBIDDEN_FORM: Sentence("dạng chữ ký không được phép", "a form that is not allowed"),
    Reason.SEVERAL_SIGNATURES: Sentence("có nhiều chữ ký XML", "several XML signatures"),
    Reason.COMMENT: Sentence("có chú thích trong phần đã ký", "a comment in what is signed"),
    Reason.DTD: Sentence("có khai báo DOCTYPE", "a DOCTYPE declaration"),
    Reason.ALGORITHM: Sentence("thuật toán không được phép", "an algorithm not allowed"),
    Reason.KEY_TOO_SMALL: Sentence("khóa quá ngắn", "the key is too small"),
    Reason.CERTIFICATE_MISMATCH: Sentence("khóa không thuộc chứng thư", "another key"),
    Reason.UNTRUSTED: Sentence("cơ quan cấp không đáng tin cậy", "unknown authority"),
    Reason.EXPIRED: Sentence("đã hết hạn khi ký", "expired"),
    Reason.NOT_YET_VALID: Sentence("chưa có hiệu lực khi ký", "not yet valid"),
    Reason.WRONG_PURPOSE: Sentence("chứng thư không dùng để ký văn bản", "not for documents"),
    Reason.REVOKED: Sentence("đã bị thu hồi", "revoked"),
    Reason.SUSPENDED: Sentence("đã được báo mất", "reported lost"),
    Reason.TIMESTAMP_INVALID: Sentence("dấu thời gian không hợp lệ", "the time stamp is invalid"),
    Reason.PLACEHOLDER: Sentence("chữ ký mẫu", "a placeholder"),
    Reason.WEAK_ALGORITHM: Sentence("thuật toán cũ, yếu (SHA-1)", "a weak algorithm (SHA-1)"),
    Reason.NO_CERTIFICATE: Sentence("không kèm chứng thư", "no certificate"),
    Reason.REVOCATION_UNKNOWN: Sentence("thiếu danh sách thu hồi mới", "no fresh revocation list"),
    Reason.NO_TRUST_ANCHORS: Sentence("trục chưa có chứng thư gốc", "no trusted root is known"),
    Reason.MALFORMED: Sentence("tệp hoặc chữ ký bị hỏng", "the file or signature is broken"),
    Reason.ENCRYPTED: Sentence("tệp bị mã hóa", "the file is encrypted"),
    Reason.TIME_LIMIT: Sentence("kiểm quá lâu", "it takes too long"),
    Reason.MEMORY_LIMIT: Sentence("kiểm tốn quá nhiều bộ nhớ", "it takes too much memory"),
    Reason.WORKER_DIED: Sentence("bộ kiểm chữ ký dừng giữa chừng", "the check broke off"),
    Reason.TOO_LARGE: Sentence("tệp quá lớn để kiểm", "too large to be verified"),
    Reason.TOO_MANY: Sentence("có quá nhiều để kiểm hết", "too many to be verified"),
    Reason.UNSUPPORTED: Sentence("dạng chưa được hỗ trợ", "a form that is not supported"),
}
OUTCOMES: Mapping[SignatureOutcome, Sentence] = {
    SignatureOutcome.VALID: Sentence("hợp lệ", "valid"),
    SignatureOutcome.INVALID: Sentence("không hợp lệ", "invalid"),
    SignatureOutcome.UNVERIFIABLE: Sentence("không kiểm được", "not verifiable"),
    SignatureOutcome.ABSENT: Sentence("không có chữ ký", "no signature"),
}
SIGNERS: Mapping[SignerKind, Sentence] = {
    SignerKind.OFFICIAL: Sentence("chữ ký của cá nhân", "an official's signature"),
    SignerKind.AGENCY: Sentence("chữ ký của cơ quan", "an agency's signature"),
    SignerKind.UNKNOWN: Sentence("chữ ký chưa rõ của ai", "a signature of nobody known"),
}
NFC = Sentence("dựng sẵn (NFC)", "composed (NFC)")
NFD = Sentence("tổ hợp (NFD)", "decomposed (NFD)")

_PROGRAM = Sentence("chương trình máy tính", "a program")
_ARCHIVE = Sentence("tệp nén", "an archive")
_KINDS: dict[str, Sentence] = {
    "application/pdf": Sentence("PDF", "PDF"),
    "application/rtf": Sentence("RTF", "RTF"),
    "application/msword": Sentence("Word cũ (.doc)", "old Word (.doc)"),
    "application/vnd.ms-excel": Sentence("Excel cũ (.xls)", "old Excel (.xls)"),
    "application/vnd.ms-powerpoint": Sentence("PowerPoint cũ (.ppt)", "old PowerPoint (.ppt)"),
    "application/vnd.ms-outlook": Sentence("thư Outlook (.msg)", "an Outlook message (.msg)"),
    "application/x-ole-storage": Sentence("tệp Office cũ", "an old Office file"),
    "application/xml": Sentence("XML", "XML"),
    "text/html": Sentence("trang web (HTML)", "a web page (HTML)"),
    "text/plain": Sentence("chữ thuần (.txt)", "plain text (.txt)"),
    "text/csv": Sentence("bảng CSV", "CSV"),
    ZIP: _ARCHIVE,
    "application/vnd.rar": _ARCHIVE,
    "application/x-7z-compressed": _ARCHIVE,
    "application/gzip": _ARCHIVE,
    "application/vnd.microsoft.portable-executable": _PROGRAM,
    "application/x-elf": _PROGRAM,
    OCTETS: Sentence("tệp không rõ loại", "a file of no known kind"),
}


def file_kind(kind: str, signature: str = "") -> Sentence:
    """A media type, with the form of a signature inside, as people say it."""
    said = _KINDS.get(kind)
    if said is None:
        last = next((one for one, zipped in ZIP_KINDS.items() if zipped == kind), "")
        name = f".{last}" if last else kind.rpartition("/")[2].upper() or "?"
        said = Sentence(name, name)
    if not signature:
        return said
    return Sentence(
        f"{said.vi}, có chữ ký {signature}", f"{said.en}, with a signature of form {signature}"
    )


def listed(words: Iterable[Sentence]) -> Sentence:
    """Several, after commas."""
    every = tuple(words)
    return Sentence(", ".join(one.vi for one in every), ", ".join(one.en for one in every))


def on_day(day: date) -> Sentence:
    """A day as each language writes it."""
    return Sentence(f"{day:%d/%m/%Y}", f"{day:%Y-%m-%d}")


def at_minute(at: datetime) -> Sentence:
    """A moment as each language writes it."""
    return Sentence(f"{at:%d/%m/%Y %H:%M}", f"{at:%Y-%m-%d %H:%M}")


def at_most(number: int, unit: Sentence | None = None) -> Sentence:
    """An upper bound, with its unit."""
    vi, en = (f" {unit.vi}", f" {unit.en}") if unit else ("", "")
    return Sentence(f"tối đa {number}{vi}", f"at most {number}{en}")
