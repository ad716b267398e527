"""What a check yields: something broken, or something that could not be judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from envelopes.findings import Finding
from identifiers.texts import Bilingual

if TYPE_CHECKING:
    from envelopes.rules.facts import PackageFacts
    from envelopes.rules.profile import Profile


@dataclass(frozen=True, slots=True)
class Broken:
    """One way in which a rule is broken; the runner makes a `Finding` of it.

    `element` is an element path or an attachment's name; `said` is how people are told `found`
    where that is a code; `values` are further ones that the variant's sentence uses. `allowed` and
    `values` may be a `Sentence`, each language for itself.
    """

    element: str
    found: object = ""
    allowed: object = ""
    variant: str = ""
    values: tuple[tuple[str, object], ...] = ()
    said: Bilingual | None = None


class Missing(Enum):
    """Why a rule was not judged; the value is the sentence for people."""

    FILES = Bilingual("chưa xem nội dung các tệp", "the files were not looked into")
    SIGNATURES = Bilingual("chưa kiểm chữ ký", "the signatures were not verified")
    SCAN = Bilingual("chưa quét mã độc", "not scanned for malware")
    REGISTRY = Bilingual(
        "chỉ trục biết danh bạ và kết nối", "only the service knows agencies and connections"
    )
    HISTORY = Bilingual(
        "chỉ trục biết các văn bản đã gửi, nhận", "only the service knows what was exchanged before"
    )
    CLOCK = Bilingual(
        "chưa biết giờ gói tin vào trục hoặc lịch làm việc",
        "the time of entry or the working calendar is not known",
    )
    PAGES = Bilingual("không đếm được số trang của tệp", "the pages of the file were not counted")
    TEXT = Bilingual(
        "không đọc được chữ bên trong tệp này", "the text inside this file cannot be read here"
    )
    LENGTH = Bilingual(
        "phần đầu gói tin quá dài, chỉ xét phần đầu tiên",
        "the header is too long, only its beginning was judged",
    )
    OWNER = Bilingual(
        "chứng thư không nêu mã cơ quan và chưa được đăng ký",
        "the certificate names no agency code and is not registered",
    )

    TRUST = Bilingual(
        "chưa biết chứng thư của chữ ký có đáng tin hay không",
        "whether the certificates of the signatures can be trusted is not known",
    )

    REVOCATION = Bilingual(
        "chưa có danh sách thu hồi mới: chưa biết chứng thư có bị thu hồi hay không",
        "no fresh list of revoked certificates: whether the signer's is among them is not known",
    )

    @property
    def code(self) -> str:
        """The name for programs."""
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True, slots=True)
class NotJudged:
    """A rule, or a part of it, without a verdict. The runner fills in `rule`."""

    why: Missing
    element: str = ""
    rule: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready data; the shape is part of the REST API."""
        return {
            "rule": self.rule,
            "element": self.element,
            "why": self.why.code,
            "reason": {"vi": self.why.value.vi, "en": self.why.value.en},
        }


#: What a check yields; a `Finding` is one that somebody else made already.
Outcome = Broken | NotJudged | Finding
Check = Callable[["PackageFacts", "Profile"], Iterator[Outcome]]
