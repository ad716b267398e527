"""A gateway with its agencies, as the acceptance tests use it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.acceptance.raw import talk
from tests.support import packages
from tests.support.agency_client import AgencyClient, Answer, the_line
from tests.support.packages import new_id
from tests.support.service import GatewayProcess, Site

SENDER = "000.00.00.G22"
NGHE_AN = "000.00.00.H41"
QUANG_NAM = "H53.13"
HOA_SON = "28.22.H17"
#: Connections and the codes they serve.
AGENCIES: dict[str, tuple[str, ...]] = {
    "vpcp": (SENDER, "000.00.00.A80", "000.00.00.H14"),
    "nghe_an": (NGHE_AN,),
    "quang_nam": (QUANG_NAM, HOA_SON, "000.00.00.G17"),
}


@dataclass
class Ministry:
    """A running gateway and the software of its agencies."""

    site: Site
    gateway: GatewayProcess
    _clients: dict[str, AgencyClient] = field(default_factory=dict)

    def client(self, name: str) -> AgencyClient:
        """The software of one connection."""
        if name not in self._clients:
            self._clients[name] = self.site.client(name, self.gateway)
        return self._clients[name]

    @property
    def sender(self) -> AgencyClient:
        """The sending ministry's software."""
        return self.client("vpcp")

    @property
    def nghe_an(self) -> AgencyClient:
        """A recipient."""
        return self.client("nghe_an")

    @property
    def quang_nam(self) -> AgencyClient:
        """Another recipient."""
        return self.client("quang_nam")

    def send(self, *recipients: str, **particulars: Any) -> tuple[bytes, Answer]:
        """Hand a new document in; its bytes and the answer, which must be 202."""
        content = packages.document(
            SENDER,
            recipients or (NGHE_AN,),
            particulars.pop("document_id", new_id()),
            **particulars,
        )
        answer = self.sender.submit(content)
        assert answer.status == 202, answer
        return content, answer

    def offered(self, name: str, package_id: str, deadline: float = 10.0) -> dict[str, Any]:
        """Wait until a package is in a connection's inbox; its line there."""
        lines = self.client(name).waiting
        return the_line(lines, "packageId", package_id, deadline, f"the inbox of {name}")

    def empty_inboxes(self) -> None:
        """Fetch and confirm everything, so that a test begins with empty inboxes."""
        for name in AGENCIES:
            client = self.client(name)
            for item in client.waiting():
                assert client.fetch(item["id"]).status == 200
                assert client.confirm(item["id"]).status == 200


def bearer(ministry: Ministry) -> str:
    """The Authorization header of the sender."""
    return f"Bearer {ministry.site.tokens['vpcp']}"


def post(ministry: Ministry, body: bytes, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """POST a body to /v1/packages on a fresh socket."""
    with talk(ministry.gateway.port) as peer:
        given = {"Authorization": bearer(ministry), "Content_Length": str(len(body)), **headers}
        peer.head("POST", "/v1/packages", **given)
        peer.send(body)
        return peer.answer()


def documents_of(ministry: Ministry) -> int:
    """How many documents of the sender the gateway knows."""
    items = ministry.sender.call("GET", "/v1/documents?limit=500").json["items"]
    return len(items)
