"""The sentences of `gateway.story`: one for each type of event, in Vietnamese and English."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from envelopes.findings import Sentence
from envelopes.model import VIETNAM_TIME, BusinessDocType, StatusCode
from routing.records import (
    DOCUMENT,
    DOCUMENT_READ,
    PACKAGE_READ,
    Delivery,
    DocumentRecord,
    Event,
    PackageRecord,
)
from routing.states import ReportEffect, TransportState

#: The business states as clerks know them (Decision 28/2018/QĐ-TTg).
STATUS_WORDS: Mapping[StatusCode, Sentence] = {
    StatusCode.ARRIVED: Sentence("đã đến", "arrived"),
    StatusCode.REFUSED: Sentence("từ chối tiếp nhận", "refused"),
    StatusCode.ACCEPTED: Sentence("đã tiếp nhận", "accepted"),
    StatusCode.ASSIGNED: Sentence("phân công xử lý", "assigned"),
    StatusCode.PROCESSING: Sentence("đang xử lý", "being processed"),
    StatusCode.FINISHED: Sentence("hoàn thành", "finished"),
    StatusCode.TAKE_BACK: Sentence("xin lấy lại", "asked to be taken back"),
    StatusCode.CHANGE_AGREED: Sentence(
        "đồng ý cho cập nhật / lấy lại", "update or recall agreed to"
    ),
    StatusCode.CHANGE_REFUSED: Sentence("từ chối cập nhật / lấy lại", "update or recall refused"),
}

STATE_WORDS: Mapping[TransportState, Sentence] = {
    TransportState.ACCEPTED: Sentence("đã nhận, chờ chuyển", "accepted, about to go on"),
    TransportState.QUEUED: Sentence("đang chờ chuyển", "waiting to be handed over"),
    TransportState.OFFERED: Sentence(
        "đang chờ bên nhận lấy về", "waiting for the recipient to fetch it"
    ),
    TransportState.DELIVERING: Sentence(
        "bên nhận đang lấy, chưa xác nhận", "being handed over, not confirmed yet"
    ),
    TransportState.UNKNOWN: Sentence(
        "chưa rõ bên nhận đã có hay chưa", "it is not known whether the recipient has it"
    ),
    TransportState.HELD: Sentence("người vận hành tạm giữ", "held by an operator"),
    TransportState.DEAD: Sentence(
        "đã thử hết số lần, chờ người vận hành", "attempts are used up, an operator must decide"
    ),
    TransportState.DELIVERED: Sentence("bên nhận đã có đủ", "the recipient has it"),
    TransportState.RETURNED: Sentence("đã trả lại bên gửi", "returned to the sender"),
    TransportState.WITHDRAWN: Sentence("đã thu hồi trước khi chuyển", "taken back in time"),
    TransportState.EXPIRED: Sentence(
        "quá hạn mà không ai lấy", "nobody fetched it within the time allowed"
    ),
}

#: Withdrawn copies that were not taken back: by the code of their reason.
_WITHDRAWN_WORDS: Mapping[str, Sentence] = {
    "superseded": Sentence("đã thay bằng bản mới hơn", "replaced by a newer version"),
    "nothing-to-ask": Sentence("yêu cầu không cần chuyển", "a request that need not travel"),
    "asked-before": Sentence("đã yêu cầu trước đó", "asked before"),
    "cannot-be-recalled": Sentence("không thu hồi được", "cannot be taken back"),
}

CHANGE_WORDS: Mapping[str, Sentence] = {
    "recall-pending": Sentence("chờ trả lời yêu cầu lấy lại", "asked to give it back"),
    "recalled": Sentence("đã được lấy lại", "taken back"),
    "recall-refused": Sentence("không đồng ý trả lại", "refused to give it back"),
    "update-pending": Sentence("chờ trả lời yêu cầu cập nhật", "asked to agree to an update"),
    "updated": Sentence("đã cập nhật", "updated"),
    "update-refused": Sentence("không đồng ý cập nhật", "refused the update"),
    "replace-pending": Sentence("chờ trả lời yêu cầu thay thế", "asked to agree to a replacement"),
    "replaced": Sentence("đã được thay thế", "replaced"),
    "replace-refused": Sentence("không đồng ý thay thế", "refused the replacement"),
}

_KINDS: Mapping[str, Sentence] = {
    BusinessDocType.NEW: Sentence("văn bản mới", "a new document"),
    BusinessDocType.REVOCATION: Sentence("yêu cầu thu hồi", "a revocation"),
    BusinessDocType.UPDATE: Sentence("bản cập nhật", "an update"),
    BusinessDocType.REPLACEMENT: Sentence("văn bản thay thế", "a replacement"),
}

_ROLES: Mapping[str, Sentence] = {
    "connection": Sentence("kết nối «{}»", "connection “{}”"),
    "operator": Sentence("người vận hành {}", "operator {}"),
    "person": Sentence("người dùng {}", "{}"),
}
_GATEWAY = Sentence("trục", "the gateway")

#: Templates: {actor}, {connection}, {why}, {attempt}, {next} are filled in.
_HAPPENINGS: Mapping[str, Sentence] = {
    "delivery.accepted": Sentence(
        "Đã ghi nhận lượt gửi tới cơ quan này.", "The copy for this agency was recorded."
    ),
    "delivery.relayed": Sentence("Đã báo hàng đợi.", "The queue was told."),
    "delivery.rung": Sentence("Hàng đợi đã nhận.", "The queue has it."),
    "delivery.ring-again": Sentence(
        "Báo lại hàng đợi ({why}).", "The queue is told again ({why})."
    ),
    "delivery.offered": Sentence(
        "Đã đặt vào hộp nhận của {connection}.", "Put into the inbox of {connection}."
    ),
    "delivery.attempted": Sentence("Bắt đầu lần chuyển thứ {attempt}.", "Attempt {attempt} began."),
    "delivery.fetched": Sentence("{Actor} lấy gói tin về.", "{Actor} fetched the package."),
    "delivery.fetched-again": Sentence(
        "{Actor} lấy lại gói tin lần nữa.", "{Actor} fetched the package again."
    ),
    DOCUMENT_READ: Sentence(
        "{Actor} đọc nội dung văn bản.", "{Actor} read the document's content."
    ),
    PACKAGE_READ: Sentence("{Actor} đọc lại gói tin đã gửi.", "{Actor} read its own package back."),
    "delivery.taken-up": Sentence(
        "{Actor} báo đang xử lý gói tin.", "{Actor} said that it is taking the package in."
    ),
    "delivery.not-stored": Sentence(
        "{Actor} báo chưa lưu được gói tin ({why}); gói tin vẫn chờ trong danh sách.",
        "{Actor} said that it could not store the package ({why}); it stays in the list.",
    ),
    "delivery.delivered": Sentence(
        "{Actor} xác nhận đã nhận đủ gói tin.", "{Actor} confirmed having the whole package."
    ),
    "delivery.try-later": Sentence(
        "Lần chuyển thứ {attempt} chưa được ({why}); thử lại lúc {next}.",
        "Attempt {attempt} was put off ({why}); tried again at {next}.",
    ),
    "delivery.outcome-unknown": Sentence(
        "Lần chuyển thứ {attempt} không có trả lời; sẽ hỏi lại lúc {next}.",
        "Attempt {attempt} got no answer; asked about at {next}.",
    ),
    "delivery.interrupted": Sentence(
        "Lần chuyển thứ {attempt} bị gián đoạn; sẽ hỏi lại bên nhận.",
        "Attempt {attempt} was interrupted; the recipient is asked.",
    ),
    "delivery.exhausted": Sentence(
        "Đã thử hết số lần ({why}); chờ người vận hành quyết định.",
        "Attempts are used up ({why}); an operator must decide.",
    ),
    "delivery.returned": Sentence("Trả lại bên gửi: {why}", "Returned to the sender: {why}"),
    "delivery.withdrawn": Sentence(
        "Đã thu hồi trước khi bên nhận thấy.", "Taken back before the recipient saw it."
    ),
    "delivery.expired": Sentence(
        "Quá hạn mà không ai lấy; đã báo bên gửi.",
        "Nobody fetched it within the time allowed; the sender was told.",
    ),
    "delivery.held": Sentence("{Actor} tạm giữ: {why}", "{Actor} held it: {why}"),
    "delivery.released": Sentence("{Actor} cho đi tiếp.", "{Actor} let it go on."),
    "delivery.replayed": Sentence("{Actor} cho chuyển lại từ đầu.", "{Actor} started it again."),
    "delivery.resubmitted": Sentence(
        "{Actor} gửi lại; nay đã có đường chuyển.",
        "{Actor} handed it in again; now there is a way.",
    ),
    "change.recall-pending": Sentence(
        "Bên gửi yêu cầu lấy lại văn bản: {why}", "The sender asked for the document back: {why}"
    ),
    "change.recalled": Sentence("Văn bản đã được lấy lại.", "The document was taken back."),
    "change.recall-refused": Sentence(
        "Không lấy lại được văn bản: {why}", "The document is not given back: {why}"
    ),
    "change.update-pending": Sentence(
        "Bên gửi yêu cầu cập nhật văn bản: {why}", "The sender asked to update the document: {why}"
    ),
    "change.updated": Sentence("Bên nhận đồng ý cập nhật.", "The recipient agreed to the update."),
    "change.update-refused": Sentence(
        "Cập nhật bị từ chối: {why}", "The update was refused: {why}"
    ),
    "change.replace-pending": Sentence(
        "Bên gửi yêu cầu thay thế văn bản: {why}",
        "The sender asked to replace the document: {why}",
    ),
    "change.replaced": Sentence("Văn bản đã được thay thế.", "The document was replaced."),
    "change.replace-refused": Sentence(
        "Thay thế bị từ chối: {why}", "The replacement was refused: {why}"
    ),
    "security.not-the-sender": Sentence(
        "AN NINH: {actor} gửi bằng mã cơ quan không thuộc kết nối này; đã từ chối.",
        "SECURITY: {actor} sent under an agency code that is not its own; refused.",
    ),
    "security.not-a-recipient": Sentence(
        "AN NINH: {actor} báo trạng thái cho văn bản không được gửi cho mình; không được ghi nhận.",
        "SECURITY: {actor} reported on a document that it was not sent; nothing was changed.",
    ),
    "security.not-the-owner": Sentence(
        "AN NINH: {actor} yêu cầu thay đổi văn bản của cơ quan khác; đã từ chối.",
        "SECURITY: {actor} asked to change another agency's document; refused.",
    ),
}

_REPORTS: Mapping[str, Sentence] = {
    ReportEffect.APPLIED: Sentence("{who} báo {code}.", "{who} reported {code}."),
    ReportEffect.REPEATED: Sentence("{who} báo lại {code}.", "{who} reported {code} once more."),
    ReportEffect.LATE: Sentence(
        "{who} báo {code}, đến muộn: ghi nhận, trạng thái giữ nguyên.",
        "{who} reported {code}, late: recorded, the state stays.",
    ),
    ReportEffect.IMPOSSIBLE: Sentence(
        "{who} báo {code}, trái với trạng thái cuối: đã từ chối.",
        "{who} reported {code} against what is final: refused.",
    ),
    ReportEffect.RECORDED: Sentence("{who} trả lời {code}.", "{who} answered {code}."),
}


def title(document: DocumentRecord | None, package: PackageRecord | None) -> Sentence:
    """What the story is about."""
    if document is None:
        about = package.document_id if package else ""
        return Sentence(
            f"Gói tin về văn bản {about} (không có ở trục này)",
            f"Packages about document {about} (not known here)",
        )
    sender = (package.sender_name if package else "") or document.sender
    return Sentence(
        f"Văn bản {document.document_id} của {sender}: {document.subject}",
        f"Document {document.document_id} of {sender}: {document.subject}",
    )


def standing(delivery: Delivery) -> Sentence:
    """How one recipient's newest copy stands."""
    state = STATE_WORDS[delivery.state]
    if delivery.state is TransportState.WITHDRAWN and delivery.reason is not None:
        state = _WITHDRAWN_WORDS.get(delivery.reason.code, state)
    vi, en = [state.vi], [state.en]
    if delivery.business_state is not None:
        code = _code(delivery.business_state)
        vi.append(f"cơ quan nhận báo {code.vi}")
        en.append(f"the agency reported {code.en}")
    asked = CHANGE_WORDS.get(delivery.change_state or "")
    if asked is not None:
        vi.append(asked.vi)
        en.append(asked.en)
    return Sentence(f"Hiện nay: {'; '.join(vi)}.", f"Now: {'; '.join(en)}.")


def actor(text: str) -> Sentence:
    """``connection:QLVB A`` and the like in words."""
    role, _, name = text.partition(":")
    words = _ROLES.get(role, _GATEWAY)
    return Sentence(words.vi.format(name), words.en.format(name))


def accepted(event: Event, package: PackageRecord | None, by: Sentence) -> Sentence:
    """A package was taken in."""
    data = event.data
    if data.get("kind") != DOCUMENT:
        return _report_accepted(event, package, by)
    kind = _KINDS.get(str(data.get("meaning")), Sentence("gói tin", "a package"))
    size = data.get("size", 0)
    version = data.get("version", 1)
    return Sentence(
        f"Trục nhận {kind.vi} từ {by.vi} (bản {version}, {size} byte, "
        f"SHA-256 {str(data.get('digest'))[:12]}…).",
        f"The gateway accepted {kind.en} from {by.en} (version {version}, {size} bytes, "
        f"SHA-256 {str(data.get('digest'))[:12]}…).",
    )


def _report_accepted(event: Event, package: PackageRecord | None, by: Sentence) -> Sentence:
    code = _code(str(event.data.get("meaning")))
    words = str(package.summary.get("description") or "") if package else ""
    if package is not None and package.connection_id is None:
        return Sentence(
            f"Trục báo cho bên gửi {code.vi}{_quoted(words)}.",
            f"The gateway reported {code.en} to the sender{_quoted(words)}.",
        )
    return Sentence(
        f"Trục nhận báo cáo {code.vi} từ {by.vi}{_quoted(words)}.",
        f"The gateway accepted the report {code.en} from {by.en}{_quoted(words)}.",
    )


def report(event: Event, who: str) -> Sentence:
    """A recipient's report and what it did."""
    effect = event.type.removeprefix("report.")
    words = _REPORTS.get(effect, _REPORTS[ReportEffect.RECORDED])
    code = _code(str(event.data.get("code")))
    quoted = _quoted(str(event.data.get("description") or ""))
    return Sentence(
        words.vi.format(who=who or "Cơ quan nhận", code=code.vi + quoted),
        words.en.format(who=who or "The recipient", code=code.en + quoted),
    )


def report_on_its_way(
    event: Event, package: PackageRecord, connection: str, by: Sentence
) -> Sentence:
    """What happened to a status package on its way to the document's sender."""
    code = _code(package.meaning)
    if event.type == "delivery.delivered":
        return Sentence(
            f"Bên gửi đã nhận được báo cáo {code.vi}.", f"The sender has the report {code.en}."
        )
    if event.type == "delivery.accepted":
        return Sentence(
            f"Báo cáo {code.vi} lên đường về bên gửi.",
            f"The report {code.en} is on its way to the sender.",
        )
    inner = happening(event, by, connection)
    return Sentence(f"Báo cáo {code.vi}: {inner.vi}", f"Report {code.en}: {inner.en}")


def happening(event: Event, by: Sentence, connection: str) -> Sentence:
    """What happened to a delivery, or anything else the log knows."""
    data = event.data
    if event.type == "delivery.delivered" and "provedBy" in data:
        code = _code(str(data["provedBy"]))
        return Sentence(
            f"Báo cáo {code.vi} chứng tỏ bên nhận đã có gói tin.",
            f"The report {code.en} proves that the recipient has the package.",
        )
    words = _HAPPENINGS.get(event.type)
    if event.type == "delivery.delivered" and "attempt" in data:
        words = _HANDED_OVER
    if words is None:
        return Sentence(
            f"{_upper(by.vi)} ghi «{event.type}».", f"{_upper(by.en)} noted “{event.type}”."
        )
    why = _why(data)
    return Sentence(
        _fill(words.vi, by.vi, connection or "bên nhận", why.vi, data),
        _fill(words.en, by.en, connection or "the recipient", why.en, data),
    )


#: A delivery that the gateway itself handed over (kinds push, axis, AMQP, folder).
_HANDED_OVER = Sentence(
    "Hệ thống bên nhận ({connection}) đã nhận đủ gói tin ở lần chuyển thứ {attempt}.",
    "The recipient's system ({connection}) has the whole package since attempt {attempt}.",
)


def _fill(template: str, by: str, connection: str, why: str, data: dict[str, Any]) -> str:
    return template.format(
        actor=by,
        Actor=_upper(by),
        connection=connection,
        why=why or "–",
        attempt=data.get("attempt", "?"),
        next=_minute(data.get("nextAttemptAt")),
    )


def _why(data: dict[str, Any]) -> Sentence:
    reason = data.get("reason")
    if isinstance(reason, dict):
        return Sentence(str(reason.get("vi", "")), str(reason.get("en", "")))
    text = str(data.get("why") or data.get("detail") or reason or "")
    return Sentence(text, text)


def _minute(text: object) -> str:
    if not isinstance(text, str):
        return "–"
    return datetime.fromisoformat(text).astimezone(VIETNAM_TIME).strftime("%d/%m %H:%M")


def _code(text: str) -> Sentence:
    try:
        words = STATUS_WORDS[StatusCode(text)]
    except ValueError:
        return Sentence(text, text)
    return Sentence(f"{text} ({words.vi})", f"{text} ({words.en})")


def _quoted(words: str) -> str:
    return f": «{words}»" if words else ""


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
