"""Errors as problem documents (RFC 9457), each with a code that programs can rely on."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web

from envelopes.findings import Finding, Sentence
from gateway.admission import Turned, TurnedAway

#: Seconds after which a client may try again when the fault is ours.
RETRY_AFTER = 2


class Problem(Exception):
    """An answer that is not a success; raised anywhere in a handler, encoded by the middleware."""

    def __init__(
        self,
        status: int,
        code: str,
        sentence: Sentence,
        *,
        findings: Sequence[Finding] = (),
        headers: dict[str, str] | None = None,
        **extras: Any,
    ) -> None:
        super().__init__(sentence.en)
        self.status = status
        self.code = code
        self.sentence = sentence
        self.findings = findings
        self.headers = headers or {}
        self.extras = extras

    def body(self, correlation_id: str) -> dict[str, Any]:
        """The document."""
        document: dict[str, Any] = {
            "type": f"urn:lienthong:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.sentence.en,
            "detailVi": self.sentence.vi,
            "correlationId": correlation_id,
        }
        if self.findings:
            document["findings"] = [finding.as_dict() for finding in self.findings]
        return {**document, **self.extras}

    def response(self, correlation_id: str) -> web.Response:
        """The answer."""
        return web.Response(
            status=self.status,
            # What a stranger sent may hold half characters, which UTF-8 has no place for.
            body=json.dumps(self.body(correlation_id), ensure_ascii=False).encode(
                "utf-8", "replace"
            ),
            content_type="application/problem+json",
            charset="utf-8",
            headers=self.headers,
        )


def unauthorized() -> Problem:
    """No valid bearer token."""
    return Problem(
        401,
        "unknown-token",
        Sentence(
            vi="Thiếu mã truy cập hoặc mã không còn hiệu lực. "
            "Gửi đầu trang «Authorization: Bearer lt_…».",
            en="The bearer token is missing, unknown or expired. "
            "Send the header “Authorization: Bearer lt_…”.",
        ),
        headers={"WWW-Authenticate": 'Bearer realm="lienthong"'},
    )


def unknown_person() -> Problem:
    """No valid token of a person."""
    return Problem(
        401,
        "unknown-person",
        Sentence(
            vi="Thiếu mã của người dùng hoặc mã không còn hiệu lực. Đăng nhập lại, hoặc xin mã mới "
            "của người vận hành.",
            en="The bearer token of a person is missing, unknown, expired or closed. Log in again, "
            "or ask the operator for a new one.",
        ),
        headers={"WWW-Authenticate": 'Bearer realm="lienthong people"'},
    )


def too_many_failures(seconds: float) -> Problem:
    """Wrong tokens from this address of late; strange ones are not looked at for a while."""
    return Problem(
        429,
        "too-many-failures",
        Sentence(
            vi="Quá nhiều lần xác thực sai từ địa chỉ này; hãy chờ vài giây rồi thử lại.",
            en="Too many failed authentications from this address; wait some seconds, try again.",
        ),
        headers={"Retry-After": str(max(1, math.ceil(seconds)))},
    )


def not_your_role(person: str) -> Problem:
    """Who asks is known, and none of their roles may do this."""
    return Problem(
        403,
        "not-your-role",
        Sentence(
            vi=f"Tài khoản «{person}» không có vai trò để làm việc này.",
            en=f"None of the roles of “{person}” allows this.",
        ),
    )


def not_admitted(name: str, turned_away: TurnedAway, peer: str | None) -> Problem:
    """The credentials are good, and the request is not taken all the same."""
    again = {"Retry-After": str(math.ceil(turned_away.again_after))}
    match turned_away.why:
        case Turned.SUSPENDED:
            sentence = Sentence(
                vi=f"Kết nối «{name}» đang tạm dừng; hãy liên hệ người vận hành trục.",
                en=f"Connection “{name}” is suspended; ask the operator of the gateway.",
            )
            return Problem(403, turned_away.why.value, sentence)
        case Turned.WRONG_NETWORK:
            sentence = Sentence(
                vi=f"Kết nối «{name}» không được dùng từ địa chỉ {peer}.",
                en=f"Connection “{name}” may not be used from the address {peer}.",
            )
            return Problem(403, turned_away.why.value, sentence, setting="allowed_networks")
        case Turned.WRONG_CERTIFICATE:
            sentence = Sentence(
                vi=f"Kết nối «{name}» chỉ dùng được cùng chứng thư số đã đăng ký của phần mềm.",
                en=f"Connection “{name}” may only be used with its registered client certificate.",
            )
            setting = "client_certificate"
            return Problem(403, turned_away.why.value, sentence, setting=setting)
        case Turned.TOO_OFTEN:
            sentence = Sentence(
                vi=f"Kết nối «{name}» gửi quá nhiều yêu cầu trong một phút; hãy chờ rồi gửi lại.",
                en=f"Connection “{name}” makes too many requests a minute; wait and try again.",
            )
            setting = "requests_per_minute"
            return Problem(429, turned_away.why.value, sentence, headers=again, setting=setting)


def not_found(what: str, vi: str) -> Problem:
    """There is no such thing, or not for this connection."""
    return Problem(
        404,
        "not-found",
        Sentence(vi=f"Không có {vi} này cho kết nối của bạn.", en=f"There is no such {what}."),
    )


def ambiguous(document_id: str, keys: list[str]) -> Problem:
    """Several senders used this DocumentId; the key says which document is meant."""
    return Problem(
        409,
        "ambiguous-document-id",
        Sentence(
            vi=f"Nhiều cơ quan dùng mã định danh «{document_id[:80]}»; hãy dùng khóa: "
            f"{', '.join(keys)}.",
            en=f"Several senders used DocumentId “{document_id[:80]}”; name it by its key: "
            f"{', '.join(keys)}.",
        ),
        documents=keys,
    )


def bad_parameter(name: str, found: str, allowed: str | Sentence) -> Problem:
    """A query parameter or member of the body cannot be used.

    `allowed` is made of names and figures alone, or says what is allowed in both languages.
    """
    may_be = allowed if isinstance(allowed, Sentence) else Sentence(allowed, allowed)
    is_now = (
        Sentence(f"Tham số {name} = «{found}» không hợp lệ", f"Parameter {name} is “{found}”")
        if found
        else Sentence(
            f"Thiếu tham số {name} hoặc để trống", f"Parameter {name} is missing or empty"
        )
    )
    return Problem(
        400,
        "bad-parameter",
        Sentence(
            vi=f"{is_now.vi}; cho phép: {may_be.vi}.", en=f"{is_now.en}; allowed: {may_be.en}."
        ),
        parameter=name,
    )


def unknown_parameter(name: str, known: Sequence[str]) -> Problem:
    """A query parameter or member of the body has a name that means nothing here."""
    names = ", ".join(known)
    return Problem(
        400,
        "bad-parameter",
        Sentence(
            vi=f"Không có tham số «{name}»; các tham số được dùng: {names}.",
            en=f"There is no parameter “{name}”; there are: {names}.",
        ),
        parameter=name,
    )


def bad_body(why: Sentence) -> Problem:
    """The body is not what its kind should be; `why` is a whole sentence without its full stop."""
    return Problem(
        400,
        "bad-parameter",
        Sentence(
            vi=f"{why.vi}; hãy gửi một đối tượng JSON, mã hóa UTF-8.",
            en=f"{why.en}; send a JSON object in UTF-8.",
        ),
        parameter="body",
    )


def unavailable(detail: str) -> Problem:
    """Something that the gateway needs is away; nothing was kept, try again."""
    return Problem(
        503,
        "try-again",
        Sentence(
            vi="Trục tạm thời chưa xử lý được; hãy gửi lại sau ít giây (gửi lại không bị trùng).",
            en="The gateway cannot do this just now; try again in a few seconds "
            "(handing in again never doubles).",
        ),
        headers={"Retry-After": str(RETRY_AFTER)},
        cause=detail,
    )


def payload_missing() -> Problem:
    """The record is there and the bytes are not: never a 404, which would read as "not for you"."""
    return Problem(
        500,
        "payload-missing",
        Sentence(
            vi="Trục không tìm thấy nội dung gói tin đã ghi nhận; hãy báo ngay cho người vận hành "
            "và đừng xác nhận.",
            en="The recorded package's bytes cannot be found; tell the operator at once and do not "
            "confirm it.",
        ),
    )


def not_as_logged() -> Problem:
    """Tables and event log disagree about a package: nothing is signed for it."""
    return Problem(
        500,
        "record-contradicts-log",
        Sentence(
            vi="Dữ liệu ghi nhận của gói tin không khớp nhật ký của trục nên trục không ký "
            "biên nhận; hãy báo ngay cho người vận hành.",
            en="What is recorded of the package and the gateway's log disagree, so no receipt is "
            "signed; tell the operator at once.",
        ),
    )


def disk_full() -> Problem:
    """The bytes could not be kept; nothing was recorded."""
    return Problem(
        507,
        "disk-full",
        Sentence(
            vi="Trục hết chỗ lưu trữ; gói tin chưa được nhận. Hãy gửi lại sau.",
            en="The gateway has no space left; the package was not taken. Try again later.",
        ),
        headers={"Retry-After": "60"},
        setting="data_dir",
    )


def internal() -> Problem:
    """A bug; the log has the rest under the correlation id."""
    return Problem(
        500,
        "internal",
        Sentence(
            vi="Lỗi nội bộ của trục; đã được ghi lại. Gửi mã correlationId cho người vận hành.",
            en="An internal error, logged under the correlationId; give it to the operator.",
        ),
    )


def of_http_error(error: web.HTTPException) -> Problem:
    """aiohttp's own answers (no such path, method not allowed …) in our shape."""
    codes = {404: "no-such-path", 405: "method-not-allowed"}
    allow = error.headers.get("Allow", "")
    phrase = HTTPStatus(error.status).phrase
    more = f": {error.reason}" if error.reason and error.reason != phrase else ""
    sentences = {
        404: Sentence(
            vi="Không có đường dẫn này; xem /docs.", en="There is no such path; see /docs."
        ),
        405: Sentence(
            vi=f"Đường dẫn này không dùng phương thức đó; cho phép: {allow}.",
            en=f"This path is not used with that method; allowed: {allow}.",
        ),
    }
    other = Sentence(vi=f"Không thực hiện được yêu cầu ({phrase}).", en=f"{phrase}{more}.")
    return Problem(
        error.status,
        codes.get(error.status, f"http-{error.status}"),
        sentences.get(error.status, other),
        headers={"Allow": allow} if allow else {},
    )
