"""The rules themselves, as data: sentences in Vietnamese and English for a clerk.

Each sentence names the element, says what was found and what is right. The line, where one is
known, is put in front by `envelopes.rule_catalogue.make`.
"""

from __future__ import annotations

from envelopes.findings import Sentence, Severity
from envelopes.rule import Rule

_REFUSE, _WARN = Severity.REFUSE, Severity.WARN
_QCVN = "QCVN 102:2016/BTTTT"
_QCVN_FILES = "QCVN 102:2016/BTTTT, AttachmentEncoded"
_SECURITY = "lienthong: an toàn khi đọc gói tin / safe reading"
_DECISION_28 = "Quyết định 28/2018/QĐ-TTg"
_LIFECYCLE = "Quyết định 28/2018/QĐ-TTg; lienthong: vòng đời văn bản / lifecycle"

_LIMIT = Sentence(
    "{element} vượt giới hạn: {found}, cho phép tối đa {limit} (tham số {setting}).",
    "{element} is over the limit: {found}, at most {limit} is allowed (setting {setting}).",
)

_FORM_RULES = (
    Rule(
        "XML-FORM",
        _REFUSE,
        "XML 1.0",
        Sentence(
            "gói tin không phải XML hợp lệ tại “{element}”: {found}. Cần: {allowed}.",
            "the package is not well-formed XML at “{element}”: {found}. Expected: {allowed}.",
        ),
        {
            "mismatch": Sentence(
                "phần tử <{element}> mở ở dòng {opened} chưa được đóng; gặp {found}, "
                "cần {allowed}.",
                "element <{element}> opened on line {opened} is not closed; found {found}, "
                "expected {allowed}.",
            ),
            "truncated": Sentence(
                "gói tin bị cắt cụt: hết dữ liệu khi phần tử <{element}> chưa đóng; cần {allowed}.",
                "the package is truncated: the data ended while <{element}> was open; "
                "expected {allowed}.",
            ),
            "empty": Sentence(
                "gói tin rỗng: không có phần tử nào; cần {allowed}.",
                "the package is empty: it has no element; expected {allowed}.",
            ),
            "entity": Sentence(
                "“{element}” dùng thực thể {found} không được định nghĩa; chỉ cho phép {allowed}.",
                "“{element}” uses the undefined entity {found}; only {allowed} are allowed.",
            ),
            "comment": Sentence(
                "phần tử <{element}> có chú thích hoặc lệnh xử lý nằm giữa giá trị; mỗi phần mềm "
                "đọc một khác. Cần: {allowed}.",
                "element <{element}> has a comment or processing instruction inside its value; "
                "programs read that differently. Expected: {allowed}.",
            ),
        },
    ),
    Rule(
        "XML-COMMENT",
        _WARN,
        _SECURITY,
        Sentence(
            "gói tin có chú thích hoặc lệnh xử lý XML (trong <{element}>); phần đó được bỏ qua.",
            "the package holds an XML comment or processing instruction (in <{element}>); "
            "it is ignored.",
        ),
    ),
    Rule(
        "XML-DTD",
        _REFUSE,
        _SECURITY,
        Sentence(
            "gói tin có khai báo DOCTYPE “{found}”; không được phép vì có thể chứa thực thể "
            "độc hại. Cần: {allowed}.",
            "the package has a DOCTYPE declaration “{found}”, which is not allowed since it may "
            "carry hostile entities. Expected: {allowed}.",
        ),
    ),
    Rule(
        "XML-ENCODING",
        _REFUSE,
        _QCVN,
        Sentence(
            "gói tin dùng bảng mã {found}; chỉ nhận {allowed}.",
            "the package is encoded in {found}; only {allowed} is accepted.",
        ),
        {
            "invalid": Sentence(
                "trong “{element}” có byte không phải UTF-8: {found}. Cần: {allowed} "
                "(có thể văn bản dùng bảng mã cũ TCVN3 hoặc VNI).",
                "“{element}” holds bytes that are not UTF-8: {found}. Expected: {allowed} "
                "(perhaps the text is in an old encoding, TCVN3 or VNI).",
            ),
        },
    ),
    Rule(
        "XML-LIMIT",
        _REFUSE,
        _SECURITY,
        Sentence(
            "{element}: {found}, cho phép {allowed}.", "{element}: {found}, allowed {allowed}."
        ),
        {"limit": _LIMIT},
    ),
    Rule(
        "XML-NAMESPACE",
        _REFUSE,
        _QCVN,
        Sentence(
            "phần tử <{element}> thuộc không gian tên “{found}”; cần “{allowed}”.",
            "element <{element}> is in namespace “{found}”; expected “{allowed}”.",
        ),
        {
            "old": Sentence(
                "gói tin là edXML trước QCVN 102 (không gian tên “{found}”), không được hỗ trợ; "
                "cần “{allowed}”.",
                "the package is edXML before QCVN 102 (namespace “{found}”), not supported; "
                "expected “{allowed}”.",
            ),
            "prefix": Sentence(
                "phần tử <{element}> dùng tiền tố “{found}:” chưa khai báo; cần {allowed}.",
                "element <{element}> uses the prefix “{found}:” that is not declared; "
                "expected {allowed}.",
            ),
        },
    ),
    Rule(
        "XML-ROOT",
        _REFUSE,
        _QCVN,
        Sentence(
            "phần tử gốc là <{found}>; cần <{allowed}>.",
            "the root element is <{found}>; expected <{allowed}>.",
        ),
    ),
    Rule(
        "SCHEMA",
        _REFUSE,
        _QCVN,
        Sentence(
            "phần tử {element} không đúng quy định: {found}. Cần: {allowed}.",
            "element {element} is not as the standard demands: {found}. Expected: {allowed}.",
        ),
        {
            "missing": Sentence(
                "thiếu phần tử {missing} trong {element}; cần: {allowed}.",
                "element {missing} is missing in {element}; expected: {allowed}.",
            ),
            "unexpected": Sentence(
                "phần tử <{found}> không được đặt ở {element}; tại đây cần: {allowed}.",
                "element <{found}> may not stand at {element}; expected here: {allowed}.",
            ),
            "repeated": Sentence(
                "phần tử <{found}> xuất hiện quá nhiều lần tại {element}; cần: {allowed}.",
                "element <{found}> occurs too often at {element}; expected: {allowed}.",
            ),
            "value": Sentence(
                "giá trị của {element} là “{found}”; cần {allowed}.",
                "the value of {element} is “{found}”; expected {allowed}.",
            ),
            "empty": Sentence(
                "phần tử {element} để trống; cần {allowed}.",
                "element {element} is empty; expected {allowed}.",
            ),
            "text": Sentence(
                "{element} chứa chữ “{found}” nằm ngoài các phần tử con; cần: {allowed}.",
                "{element} holds the text “{found}” outside its child elements; "
                "expected: {allowed}.",
            ),
        },
    ),
    Rule(
        "UNKNOWN-ELEMENT",
        _WARN,
        _QCVN,
        Sentence(
            "phần tử <{found}> trong {element} không có trong QCVN 102 và không được đọc; "
            "tại đây quy chuẩn có: {allowed}.",
            "element <{found}> in {element} is not part of QCVN 102 and is not read; "
            "the standard has here: {allowed}.",
        ),
    ),
    Rule(
        "DIALECT",
        _WARN,
        _QCVN,
        Sentence(
            "{element} viết theo cách riêng “{found}”; đã hiểu là {allowed}. Nên theo quy chuẩn.",
            "{element} is written in a way of its own, “{found}”; read as {allowed}. "
            "The standard's form is preferred.",
        ),
    ),
)

_FILE_RULES = (
    Rule(
        "ATT-BASE64",
        _REFUSE,
        _QCVN_FILES,
        Sentence(
            "nội dung tệp đính kèm “{element}” không phải base64 hợp lệ: {found} ở ký tự thứ "
            "{position}; cần {allowed}.",
            "the content of attachment “{element}” is not valid base64: {found} at character "
            "{position}; expected {allowed}.",
        ),
        {
            "unterminated": Sentence(
                "nội dung base64 của tệp “{element}” bị thiếu phần cuối ({found}); cần {allowed}.",
                "the base64 content of attachment “{element}” ends too early ({found}); "
                "expected {allowed}.",
            ),
            "noncanonical": Sentence(
                "nội dung base64 của tệp “{element}” kết thúc sai chuẩn ({found}); cần {allowed}.",
                "the base64 content of attachment “{element}” ends in a non-canonical way "
                "({found}); expected {allowed}.",
            ),
            "markup": Sentence(
                "nội dung base64 của tệp “{element}” bị xen {found}; cần {allowed}.",
                "the base64 content of attachment “{element}” is interrupted by {found}; "
                "expected {allowed}.",
            ),
        },
    ),
    Rule(
        "ATT-ZIP",
        _REFUSE,
        _QCVN_FILES,
        Sentence(
            "tệp đính kèm “{element}” khai báo là application/zip nhưng không mở được: {found}. "
            "Cần {allowed}.",
            "attachment “{element}” is declared application/zip but cannot be opened: {found}. "
            "Expected {allowed}.",
        ),
        {
            "not-a-zip": Sentence(
                "tệp đính kèm “{element}” khai báo là application/zip nhưng nội dung không phải "
                "tệp nén ZIP ({found}); cần {allowed}.",
                "attachment “{element}” is declared application/zip but its content is no ZIP "
                "archive ({found}); expected {allowed}.",
            ),
        },
    ),
    Rule(
        "ATT-ARCHIVE",
        _WARN,
        _QCVN_FILES,
        Sentence(
            "tệp “{element}” là một tệp nén chứa nhiều tệp, tên lại không phải tên tệp nén; "
            "được giữ nguyên ({found}). Nên dùng {allowed}.",
            "attachment “{element}” is an archive of several files though its name does not say "
            "so; it is passed on as it is ({found}). Better: {allowed}.",
        ),
    ),
    Rule(
        "ATT-LIMIT",
        _REFUSE,
        _SECURITY,
        Sentence(
            "tệp “{element}”: {found}, cho phép {allowed}.",
            "attachment “{element}”: {found}, allowed {allowed}.",
        ),
        {"limit": _LIMIT},
    ),
    Rule(
        "ATT-EMPTY",
        _WARN,
        _QCVN_FILES,
        Sentence(
            "tệp đính kèm “{element}” không có nội dung (0 byte).",
            "attachment “{element}” has no content (0 bytes).",
        ),
    ),
    Rule(
        "ATT-NAME",
        _WARN,
        "Quyết định 58/2023/QĐ-UBND Kon Tum, Điều 7.4; an toàn / safety",
        Sentence(
            "tên tệp “{element}” có ký tự không an toàn ({found}); nên dùng {allowed}.",
            "file name “{element}” holds unsafe characters ({found}); better use {allowed}.",
        ),
    ),
    Rule(
        "FILE-COMPLETE",
        _REFUSE,
        "Quyết định 278/2019/QĐ-UBND Kiên Giang, Điều 6.1; Quyết định 58/2023 Kon Tum, Điều 10.4d",
        Sentence(
            "danh mục tệp (edXMLManifest) nêu tệp “{element}” (ContentId {found}) nhưng gói tin "
            "không kèm tệp này; cần {allowed}.",
            "the manifest names “{element}” (ContentId {found}) but the package does not carry "
            "it; expected {allowed}.",
        ),
        {
            "unlisted": Sentence(
                "tệp đính kèm “{element}” (ContentId {found}) không có trong danh mục tệp; "
                "cần {allowed}.",
                "attachment “{element}” (ContentId {found}) is not in the manifest; "
                "expected {allowed}.",
            ),
            "twice": Sentence(
                "mã ContentId {found} được dùng hai lần ({element}); cần {allowed}.",
                "ContentId {found} is used twice ({element}); expected {allowed}.",
            ),
            "appendixes": Sentence(
                "văn bản kê {found} phụ lục nhưng chỉ kèm {files} tệp; cần {allowed}.",
                "the document lists {found} appendixes but carries {files} files; "
                "expected {allowed}.",
            ),
        },
    ),
)

_HEADER_RULES = (
    Rule(
        "ID-DOCUMENT",
        _WARN,
        "Quyết định 58/2023 Kon Tum, Điều 8.3; Quyết định 278/2019 Kiên Giang, Điều 7.1",
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
        "Quyết định 278/2019 Kiên Giang, Điều 10.4",
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
        "Quyết định 58/2023 Kon Tum, Điều 8.2 và 10.1b",
        Sentence(
            "không tìm thấy cơ quan nhận {element} “{found}” trong danh mục; cần {allowed}.",
            "recipient {element} “{found}” is not in the directory; expected {allowed}.",
        ),
    ),
    Rule(
        "HEAD-REQUIRED",
        _WARN,
        "Quyết định 58/2023 Kon Tum, Điều 10.2; Quyết định 278/2019 Kiên Giang, Điều 6.1, 7.1",
        Sentence(
            "thiếu {element}, cần để vào sổ đăng ký văn bản: {allowed}.",
            "{element} is missing; the register of documents needs it: {allowed}.",
        ),
    ),
    Rule(
        "HEAD-REPLY",
        _WARN,
        "Quyết định 278/2019 Kiên Giang, Điều 7.2, 7.3",
        Sentence(
            "văn bản trả lời không nêu rõ văn bản được trả lời ở {element}; cần {allowed}.",
            "a reply does not say in {element} which document it answers; expected {allowed}.",
        ),
        {
            "due": Sentence(
                "hạn trả lời {element} là {found}, trước ngày ban hành; cần {allowed}.",
                "the due date {element} is {found}, before the date of issue; expected {allowed}.",
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
            "trạng thái {found} phải kèm lý do trong {element}; cần {allowed}.",
            "status {found} must give its reason in {element}; expected {allowed}.",
        ),
    ),
)

_EXCHANGE_RULES = (
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
        "RECALL-UNKNOWN",
        _REFUSE,
        _LIFECYCLE,
        Sentence(
            "cơ quan gửi không có văn bản “{found}” để thu hồi hoặc cập nhật; cần {allowed}.",
            "the sender has no document “{found}” to recall or update; expected {allowed}.",
        ),
    ),
    Rule(
        "RECALL-OWNER",
        _REFUSE,
        "Quyết định 278/2019 Kiên Giang, Điều 10.4",
        Sentence(
            "văn bản {element} do cơ quan khác phát hành, “{found}” không được thu hồi hoặc "
            "cập nhật; chỉ {allowed} được phép.",
            "document {element} was issued by another agency, “{found}” may not recall or update "
            "it; only {allowed} may.",
        ),
    ),
    Rule(
        "RECALL-FINISHED",
        _REFUSE,
        _LIFECYCLE,
        Sentence(
            "không thu hồi được văn bản {element}: bên nhận đã ở trạng thái {found}; chỉ thu hồi "
            "được khi {allowed}.",
            "document {element} cannot be recalled: the receiver is at status {found}; a recall "
            "is possible only {allowed}.",
        ),
    ),
    Rule(
        "RECALL-RECIPIENT",
        _REFUSE,
        _LIFECYCLE,
        Sentence(
            "văn bản {element} chưa từng gửi cho “{found}”; chỉ thu hồi được từ {allowed}.",
            "document {element} was never sent to “{found}”; it can be recalled only from "
            "{allowed}.",
        ),
    ),
    Rule(
        "RECALL-NOT-ASKED",
        _REFUSE,
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
            "báo trạng thái cho văn bản “{found}” mà cơ quan này không nhận; cần {allowed}.",
            "the status is about document “{found}”, which this agency did not receive; "
            "expected {allowed}.",
        ),
    ),
    Rule(
        "STATUS-FOREIGN-DOCUMENT",
        _WARN,
        _LIFECYCLE,
        Sentence(
            "trục này không biết văn bản “{found}”; báo trạng thái vẫn được chuyển tới {allowed}.",
            "this gateway does not know document “{found}”; the status is passed on to {allowed} "
            "all the same.",
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

#: Every rule, in the order in which they are met.
ALL_RULES: tuple[Rule, ...] = _FORM_RULES + _FILE_RULES + _HEADER_RULES + _EXCHANGE_RULES
