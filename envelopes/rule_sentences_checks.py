"""The rules that profiles grade (parts A-C of the specification), as data.

The checks are in `envelopes.rules`, under the same ids. Each rule names the regulations that it
rests on.
"""

from __future__ import annotations

from envelopes.findings import Sentence, Severity
from envelopes.rule import Rule

_REFUSE, _WARN = Severity.REFUSE, Severity.WARN
_KT = "Quyết định 58/2023/QĐ-UBND Kon Tum"
_DB = "Quyết định 29/2021/QĐ-UBND Điện Biên"
_SL = "Dự thảo thay Quyết định 50/2020/QĐ-UBND Sơn La"
_BT = "Quyết định 12/2014/QĐ-UBND Bến Tre"
_KG = "Quyết định 278/QĐ-UBND năm 2019 Kiên Giang"
_KG_LETTER = "Công văn 144/UBND-HCTC năm 2020 Kiên Giang"

#: What the attached files must be.
FILE_CHECKS = (
    Rule(
        "FILE-NAME",
        _WARN,
        f"{_KT}, Điều 7.4; {_SL}, Điều 7.4",
        Sentence(
            "tên tệp “{element}” có ký tự không được dùng ({found}); chỉ dùng {allowed}.",
            "file name “{element}” holds characters that may not be used ({found}); "
            "use only {allowed}.",
        ),
        {
            "long": Sentence(
                "tên tệp “{element}” dài {found} ký tự; cho phép {allowed}.",
                "file name “{element}” has {found} characters; allowed {allowed}.",
            ),
        },
    ),
    Rule(
        "FILE-SIZE",
        _REFUSE,
        f"{_KT}, Điều 7.4; {_SL}, Điều 7.4",
        Sentence(
            "tệp “{element}” có dung lượng {found}; cho phép {allowed}.",
            "file “{element}” has {found}; allowed {allowed}.",
        ),
    ),
    Rule(
        "FILE-FORMAT",
        _WARN,
        f"{_SL}, Điều 7.3a; Thông tư 39/2017/TT-BTTTT",
        Sentence(
            "tệp “{element}” có định dạng {found}, không nằm trong danh mục; cho phép: {allowed}.",
            "file “{element}” is of format {found}, which is not on the list; allowed: {allowed}.",
        ),
        {
            "disagree": Sentence(
                "phần mở rộng của tệp “{element}” không khớp nội dung: nội dung là {found}; "
                "cần {allowed}.",
                "the ending of file “{element}” does not agree with its content: the content is "
                "{found}; expected {allowed}.",
            ),
            "resave": Sentence(
                "tệp “{element}” thực ra là {found}, không phải tệp văn bản; hãy lưu lại thành "
                "{allowed}.",
                "file “{element}” really is {found} and no document; save it as {allowed}.",
            ),
        },
    ),
    Rule(
        "FILE-SIGNED-PDF",
        _REFUSE,
        f"{_SL}, Điều 7.3b",
        Sentence(
            "văn bản “{element}” được ký số nhưng không phải PDF ({found}); cần {allowed}.",
            "document “{element}” is signed but is no PDF ({found}); expected {allowed}.",
        ),
    ),
    Rule(
        "FILE-UNSIGNED-PDF",
        _WARN,
        f"{_BT}, Điều 3.3",
        Sentence(
            "văn bản “{element}” chưa ký số và không phải PDF ({found}); cần {allowed}.",
            "document “{element}” is unsigned and no PDF ({found}); expected {allowed}.",
        ),
        {
            "required": Sentence(
                "văn bản “{element}” chưa ký số ({found}); cần {allowed}.",
                "document “{element}” is not signed ({found}); expected {allowed}.",
            ),
        },
        {"required": f"{_KT}, Điều 10.4c; {_DB}, Điều 3; {_SL}, Điều 12"},
    ),
    Rule(
        "FILE-CHARSET",
        _WARN,
        f"{_BT}, Điều 3.2; TCVN 6909:2001",
        Sentence(
            "chữ trong “{element}” dùng bảng mã {found}; cần {allowed}.",
            "the text of “{element}” is in encoding {found}; expected {allowed}.",
        ),
        {
            "nfc": Sentence(
                "chữ trong “{element}” là Unicode {found}; cần {allowed}.",
                "the text of “{element}” is Unicode {found}; expected {allowed}.",
            ),
        },
    ),
    Rule(
        "FILE-MALWARE",
        _REFUSE,
        f"{_KG}, Điều 9.2",
        Sentence(
            "tệp “{element}” nhiễm mã độc ({found}); cả gói tin bị chặn, cần {allowed}.",
            "file “{element}” is infected ({found}); the whole package is stopped, "
            "expected {allowed}.",
        ),
    ),
)

#: What the header says, and when it comes.
HEADER_CHECKS = (
    Rule(
        "HEAD-SECRET",
        _REFUSE,
        f"{_KT}, Điều 1.2; {_DB}, Điều 1.2; {_SL}, Điều 1.2; {_BT}, Điều 4.2; {_KG}, Điều 10.1",
        Sentence(
            "{element} mang dấu chỉ độ mật “{found}”; văn bản bí mật nhà nước không được gửi qua "
            "hệ thống này, nội dung không được lưu lại. Cần {allowed}.",
            "{element} bears the mark of secrecy “{found}”; state secrets must not be sent through "
            "this system, nothing of the content is kept. Expected: {allowed}.",
        ),
    ),
    Rule(
        "HEAD-PAPER",
        _WARN,
        f"{_KG_LETTER}, phụ lục; {_KG}, Điều 5.2; {_DB}, Điều 4.3",
        Sentence(
            "loại văn bản “{type}” thuộc danh mục không gửi kèm bản giấy nhưng {element} là "
            "{found}; cần {allowed}.",
            "documents of type “{type}” are on the list of those sent without a paper copy, but "
            "{element} is {found}; expected {allowed}.",
        ),
    ),
    Rule(
        "TIME-ISSUE",
        _WARN,
        f"{_DB}, Điều 5.2; {_KG}, Điều 3.3",
        Sentence(
            "văn bản ký {element} ngày {signed}, vào trục lúc {found}; hạn phát hành: {allowed}.",
            "the document of {element} {signed} entered the gateway at {found}; it was to be "
            "issued by {allowed}.",
        ),
        {
            "urgent": Sentence(
                "văn bản khẩn ký {element} ngày {signed}, vào trục lúc {found}; phải gửi ngay: "
                "{allowed}.",
                "the urgent document of {element} {signed} entered the gateway at {found}; it was "
                "to be sent at once: {allowed}.",
            ),
            "future": Sentence(
                "ngày ban hành {element} là {found}, chưa đến; cần {allowed}.",
                "the date of issue {element} is {found}, which is still to come; "
                "expected {allowed}.",
            ),
        },
    ),
)

#: Who signed, with what.
SIGNATURE_CHECKS = (
    Rule(
        "SIG-INTEGRITY",
        _REFUSE,
        f"{_KT}, Điều 10.1a; {_DB}, Điều 8.1, 13; Thông tư 41/2017/TT-BTTTT, Điều 7",
        Sentence(
            "chữ ký trên “{element}” không toàn vẹn ({found}); cần {allowed}.",
            "the signature on “{element}” is not intact ({found}); expected {allowed}.",
        ),
        {
            "unverifiable": Sentence(
                "không kiểm được tính toàn vẹn của chữ ký trên “{element}” ({found}); "
                "cần {allowed}.",
                "whether the signature on “{element}” is intact cannot be told ({found}); "
                "expected {allowed}.",
            ),
            "placeholder": Sentence(
                "chữ ký XML của “{element}” chỉ là mẫu, không kiểm được ({found}); cần {allowed}.",
                "the XML signature of “{element}” is a placeholder that cannot be verified "
                "({found}); expected {allowed}.",
            ),
        },
    ),
    Rule(
        "SIG-TRUST",
        _REFUSE,
        f"{_DB}, Điều 16, 17, 18; {_KT}, Điều 4.3",
        Sentence(
            "chứng thư của chữ ký trên “{element}” không đáng tin ({found}); cần {allowed}.",
            "the certificate of the signature on “{element}” cannot be trusted ({found}); "
            "expected {allowed}.",
        ),
        {
            "unverifiable": Sentence(
                "chưa xác định được độ tin cậy của chứng thư trên “{element}” ({found}); "
                "cần {allowed}.",
                "whether the certificate on “{element}” can be trusted could not be told "
                "({found}); expected {allowed}.",
            ),
            "revocation": Sentence(
                "chưa biết chứng thư trên “{element}” có bị thu hồi hay không ({found}); "
                "cần {allowed}.",
                "whether the certificate on “{element}” was revoked is not known yet ({found}); "
                "expected {allowed}.",
            ),
        },
    ),
    Rule(
        "SIG-BOTH",
        _WARN,
        f"{_DB}, Điều 3, 10.2; {_KT}, Điều 10.4",
        Sentence(
            "văn bản “{element}” thiếu {missing_vi} (đang có: {found}); cần {allowed}.",
            "document “{element}” lacks {missing_en} (there is: {found}); expected {allowed}.",
        ),
    ),
    Rule(
        "SIG-OWNER",
        _WARN,
        f"{_KG}, Điều 10.4",
        Sentence(
            "chứng thư cơ quan trên “{element}” nêu {found}, không phải cơ quan gửi; "
            "cần {allowed}.",
            "the agency certificate on “{element}” names {found}, not the sending agency; "
            "expected {allowed}.",
        ),
        {
            "registered": Sentence(
                "chứng thư trên “{element}” ({found}) không phải chứng thư đã đăng ký của cơ quan "
                "gửi; cần {allowed}.",
                "the certificate on “{element}” ({found}) is not the one registered for the "
                "sending agency; expected {allowed}.",
            ),
        },
    ),
    Rule(
        "SIG-APPENDIX",
        _WARN,
        f"{_KT}, Điều 10.4d",
        Sentence(
            "phụ lục “{element}” chưa được ký số ({found}); cần {allowed}.",
            "appendix “{element}” is not signed ({found}); expected {allowed}.",
        ),
    ),
    Rule(
        "SIG-TERM",
        _WARN,
        f"{_DB}, Điều 16.1, 17.1",
        Sentence(
            "chứng thư trên “{element}” có thời hạn {found}; cho phép {allowed}.",
            "the certificate on “{element}” runs {found}; allowed {allowed}.",
        ),
    ),
    Rule(
        "SIG-REVOKED-NOW",
        _REFUSE,
        f"{_DB}, Điều 27.6",
        Sentence(
            "khóa của chữ ký trên “{element}” đã được cơ quan báo mất ({found}); cần {allowed}.",
            "the key of the signature on “{element}” was reported lost by its agency ({found}); "
            "expected {allowed}.",
        ),
    ),
)

CHECKED_RULES: tuple[Rule, ...] = FILE_CHECKS + HEADER_CHECKS + SIGNATURE_CHECKS
