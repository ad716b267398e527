"""The rules themselves, as data: sentences in Vietnamese and English for a clerk.

Each sentence names the element, says what was found and what is right. The line, where one is
known, is put in front by `envelopes.rule_catalogue.make`.
"""

from __future__ import annotations

from envelopes.findings import Sentence, Severity
from envelopes.rule import Rule
from envelopes.rule_sentences_checks import CHECKED_RULES
from envelopes.rule_sentences_exchange import EXCHANGE_RULES, HEADER_RULES

_REFUSE, _WARN = Severity.REFUSE, Severity.WARN
_QCVN = "QCVN 102:2016/BTTTT"
_QCVN_FILES = "QCVN 102:2016/BTTTT, AttachmentEncoded"
_SECURITY = "lienthong: an toàn khi đọc gói tin / safe reading"

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
            "độc hại. Cần: không có DOCTYPE.",
            "the package has a DOCTYPE declaration “{found}”, which is not allowed since it may "
            "carry hostile entities. Expected: no DOCTYPE.",
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
        "Quyết định 278/QĐ-UBND năm 2019 Kiên Giang, Điều 6.1; "
        "Quyết định 58/2023/QĐ-UBND Kon Tum, Điều 10.4d; "
        "Quyết định 29/2021/QĐ-UBND Điện Biên, Điều 6.1",
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
                "văn bản kê {found} phụ lục ở {element} nhưng chỉ kèm {files} tệp; cần {allowed}.",
                "the document lists {found} appendixes in {element} but carries {files} files; "
                "expected {allowed}.",
            ),
            "pages": Sentence(
                "tệp “{element}” có {pages} trang nhưng văn bản khai PageAmount {found}; "
                "cần {allowed}.",
                "file “{element}” has {pages} pages but the document declares PageAmount {found}; "
                "expected {allowed}.",
            ),
        },
    ),
)

#: Every rule, in the order in which they are met.
ALL_RULES: tuple[Rule, ...] = (
    _FORM_RULES + _FILE_RULES + HEADER_RULES + CHECKED_RULES + EXCHANGE_RULES
)
