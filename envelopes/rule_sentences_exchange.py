"""The rules on identity, header, status and exchange, as data (see `envelopes.rule_sentences`)."""

from __future__ import annotations

from envelopes.findings import Sentence, Severity
from envelopes.rule import Rule

_REFUSE, _WARN = Severity.REFUSE, Severity.WARN
_DECISION_28 = "Quyết định 28/2018/QĐ-TTg"
_LIFECYCLE = "Quyết định 28/2018/QĐ-TTg; lienthong: vòng đời văn bản / lifecycle"

#: What a package says of itself.
HEADER_RULES = (
    Rule(
        "ID-DOCUMENT",
        _WARN,
        "Quyết định 58/2023/QĐ-UBND Kon Tum, Điều 8.3; "
        "Quyết định 278/QĐ-UBND năm 2019 Kiên Giang, Điều 7.1",
        Sentence(
            "mã định danh văn bản {element} “{found}” không khớp {part}; cần {allowed}.",
            "document id {element} “{found}” does not agree with {part}; expected {allowed}.",
        ),
        {
            "form": Sentence(
                "mã định danh văn bản {element} “{found}” không theo dạng chuẩn; "
                "nên viết {allowed}.",
                "document id {element} “{found}” is not of the standard form; better {allowed}.",
            ),
            "malformed": Sentence(
                "{reason_vi} {element} là “{found}”; cần {allowed}.",
                "{reason_en} {element} is “{found}”; expected {allowed}.",
            ),
        },
    ),
    Rule(
        "ID-SENDER",
        _REFUSE,
        "Quyết định 278/QĐ-UBND năm 2019 Kiên Giang, Điều 10.4",
        Sentence(
            "mã cơ quan gửi {element} là “{found}”, không thuộc hệ thống đang kết nối; được phép: "
            "{allowed}.",
            "the sender {element} is “{found}”, which does not belong to this connection; "
            "allowed: {allowed}.",
        ),
    ),
    Rule(
        "ID-RECIPIENT",
        _REFUSE,
        "Quyết định 58/2023/QĐ-UBND Kon Tum, Điều 8.2, 10.1b; "
        "Dự thảo thay Quyết định 50/2020/QĐ-UBND Sơn La, Điều 8.3",
        Sentence(
            "không tìm thấy cơ quan nhận {element} “{found}” trong danh mục; cần {allowed}.",
            "recipient {element} “{found}” is not in the directory; expected {allowed}.",
        ),
    ),
    Rule(
        "HEAD-REQUIRED",
        _WARN,
        "Quyết định 58/2023/QĐ-UBND Kon Tum, Điều 10.2; "
        "Quyết định 278/QĐ-UBND năm 2019 Kiên Giang, Điều 6.1, 7.1",
        Sentence(
            "thiếu {element}, cần để vào sổ đăng ký văn bản: {allowed}.",
            "{element} is missing; the register of documents needs it: {allowed}.",
        ),
    ),
    Rule(
        "HEAD-REPLY",
        _WARN,
        "Quyết định 278/QĐ-UBND năm 2019 Kiên Giang, Điều 7.2, 7.3",
        Sentence(
            "văn bản trả lời không nêu rõ văn bản được trả lời ở {element}; cần {allowed}.",
            "a reply does not say in {element} which document it answers; expected {allowed}.",
        ),
        {
            "due": Sentence(
                "hạn trả lời {element} là {found}, trước ngày ban hành; cần {allowed}.",
                "the due date {element} is {found}, before the date of issue; expected {allowed}.",
            ),
            "asks": Sentence(
                "văn bản đề nghị trả lời (“{found}”) nhưng không có hạn ở {element}; "
                "cần {allowed}.",
                "the document asks for a reply (“{found}”) but {element} gives no date; "
                "expected {allowed}.",
            ),
            "unknown": Sentence(
                "văn bản được trả lời ở {element} “{found}” chưa từng gửi, nhận giữa hai cơ quan; "
                "cần {allowed}.",
                "the document answered in {element}, “{found}”, never passed between the two "
                "agencies; expected {allowed}.",
            ),
        },
    ),
    Rule(
        "STATUS-CODE",
        _REFUSE,
        _DECISION_28,
        Sentence(
            "mã trạng thái {element} là “{found}”; cần một trong: {allowed}.",
            "the status code {element} is “{found}”; expected one of: {allowed}.",
        ),
    ),
    Rule(
        "STATUS-REASON",
        _REFUSE,
        _DECISION_28,
        Sentence(
            "trạng thái {found} phải kèm lý do, ghi trong {element}.",
            "status {found} must give its reason, in {element}.",
        ),
    ),
)

#: What a package may do, given what went before.
EXCHANGE_RULES = (
    Rule(
        "DUPLICATE-CONTENT",
        _REFUSE,
        _LIFECYCLE,
        Sentence(
            "văn bản {element} đã được gửi trước đây với nội dung khác (SHA-256 {found}, bản đã "
            "nhận {allowed}); muốn sửa phải gửi gói cập nhật (BussinessDocType 2).",
            "document {element} was sent before with other content (SHA-256 {found}, received "
            "earlier {allowed}); to change it, send an update (BussinessDocType 2).",
        ),
    ),
    Rule(
        "RECALL-OWNER",
        _REFUSE,
        "Quyết định 278/QĐ-UBND năm 2019 Kiên Giang, Điều 10.4",
        Sentence(
            "văn bản {element} do cơ quan khác phát hành; chỉ cơ quan phát hành được thu hồi hoặc "
            "cập nhật, “{found}” thì không.",
            "document {element} was issued by another agency; only that agency may recall or "
            "update it, “{found}” may not.",
        ),
    ),
    Rule(
        "RECALL-NOT-ASKED",
        _WARN,
        _LIFECYCLE,
        Sentence(
            "trạng thái {found} trả lời một yêu cầu thu hồi hoặc cập nhật chưa có với văn bản "
            "{element}; cần {allowed}.",
            "status {found} answers a recall or update of document {element} that was not asked; "
            "expected {allowed}.",
        ),
    ),
    Rule(
        "STATUS-UNKNOWN-DOCUMENT",
        _REFUSE,
        _LIFECYCLE,
        Sentence(
            "báo trạng thái cho văn bản “{found}” không được gửi cho cơ quan này.",
            "the status is about document “{found}”, which this agency was not sent.",
        ),
    ),
    Rule(
        "STATUS-FOREIGN-DOCUMENT",
        _WARN,
        _LIFECYCLE,
        Sentence(
            "trục này không biết văn bản “{found}” đã gửi cho cơ quan này; báo trạng thái vẫn được "
            "chuyển tới {allowed}.",
            "this gateway does not know of document “{found}” for this agency; the status is "
            "passed on to {allowed} all the same.",
        ),
    ),
    Rule(
        "RECIPIENT-TWICE",
        _WARN,
        _LIFECYCLE,
        Sentence(
            "nơi nhận {element} “{found}” là cùng một cơ quan với “{allowed}”; chỉ gửi một bản.",
            "recipient {element} “{found}” is the same agency as “{allowed}”; one copy is sent.",
        ),
    ),
    Rule(
        "STATUS-ORDER",
        _REFUSE,
        _LIFECYCLE,
        Sentence(
            "không thể báo trạng thái {found} cho văn bản {element}: {allowed}.",
            "status {found} is not possible for document {element}: {allowed}.",
        ),
    ),
)
