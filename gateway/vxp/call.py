"""What an operation gets, and how it reads parameters and small bodies."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from envelopes.findings import Sentence
from gateway.intake import IntakeFault
from gateway.rest.body import SMALL_BODY, go_on, small_body
from gateway.rest.problems import Problem
from gateway.services import Services
from gateway.vxp.gate import Caller
from gateway.vxp.headers import shown
from routing.ids import is_id
from routing.records import DOCUMENT, STATUS
from routing.route_table import Connection


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a known system."""

    request: web.Request
    services: Services
    caller: Caller

    @property
    def connection(self) -> Connection:
        """Whose software calls."""
        return self.caller.connection

    def needed(self, name: str) -> str:
        """A signed parameter that must be there. Raises `Problem`."""
        value = self.caller.signed(name)
        if not value:
            raise refused(
                400,
                Sentence(
                    vi=f"Thiếu tham số {name} (đầu trang XroadVnpt-{name}).",
                    en=f"The parameter {name} is missing (header XroadVnpt-{name}).",
                ),
            )
        return value

    def doc_id(self, name: str = "docId") -> str:
        """The id of a package or delivery. Raises `Problem` when it can be none."""
        value = self.needed(name).lower()
        if not is_id(value):
            raise no_such_document()
        return value

    def kind(self) -> str:
        """The kind of packages that is asked for, by `messagetype`; documents if it is not said.

        May be unsigned: only which of the caller's own lists it sees follows from it.
        """
        given = self.caller.parameters.harmless("messagetype").strip()
        kinds = {"": DOCUMENT, "edoc": DOCUMENT, "status": STATUS}
        if given.lower() not in kinds:
            raise refused(
                400,
                Sentence(
                    vi=f"messagetype «{shown(given)}» không hợp lệ; cho phép: edoc, status.",
                    en=f"messagetype is {shown(given)!r}; allowed: edoc, status.",
                ),
            )
        return kinds[given.lower()]

    async def small_body(self) -> bytes:
        """The body, whatever it is; read to its end so that the next request can follow."""
        await go_on(self.request)
        found = await small_body(self.request, self.services)
        if found is IntakeFault.TOO_LARGE:
            raise refused(
                413,
                Sentence(
                    vi=f"Thân yêu cầu quá lớn; cho phép {SMALL_BODY} byte.",
                    en=f"The body is too large; allowed: {SMALL_BODY} bytes.",
                ),
            )
        if isinstance(found, IntakeFault):
            raise refused(
                408,
                Sentence("Thân yêu cầu không đến đủ; hãy gửi lại.", "The body did not come whole."),
            )
        return found


def json_object(body: bytes) -> dict[str, Any] | None:
    """A body as a JSON object; None when it is none."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def refused(status: int, sentence: Sentence) -> Problem:
    """A business error; the status travels as ErrorCode."""
    return Problem(status, "vxp", sentence)


def no_such_document() -> Problem:
    """The id leads nowhere, or to somebody else's."""
    return refused(
        404,
        Sentence(
            vi="Không có văn bản nào mang docId này cho hệ thống của bạn.",
            en="There is no document of this docId for your system.",
        ),
    )
