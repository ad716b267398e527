"""For whom a package is meant that another gateway hands over."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from envelopes.model import Document
from envelopes.read import read_package
from identifiers.agency import Agency
from identifiers.organ_id import OrganId
from routing.recipients import Origin, recipient_routes
from routing.route_table import Connection, ConnectionStatus, RegistryData, RouteTable
from tests.support import packages

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
FAR, OURS, ALSO_OURS, THEIRS = "000.00.00.G22", "000.00.00.H41", "000.00.00.H53", "000.00.00.H17"


def connection(name: str, *codes: str, **settings: object) -> Connection:
    """A connection of these codes."""
    ids = tuple(OrganId.of(code) for code in codes)
    return Connection(name, name, "pull", ConnectionStatus.ACTIVE, ids, NOW, dict(settings))


AXIS = connection("axis", gateway=True, default_route=True)
QLVB = connection("qlvb", OURS, ALSO_OURS)
ROUTES = RouteTable(
    RegistryData(
        1,
        tuple(Agency(OrganId.of(code), code) for code in (FAR, OURS, ALSO_OURS, THEIRS)),
        (AXIS, QLVB),
        (),
    )
)


def to(*codes: str) -> Document:
    """A document for these agencies."""
    package = read_package([packages.document(FAR, codes, f"{FAR},2026/11/02,1/CV")]).package
    assert isinstance(package, Document)
    return package


def meant(document: Document, origin: Origin) -> dict[str, str]:
    """Recipient to kind of route."""
    chosen, _ = recipient_routes(document, ROUTES, NOW, origin)
    return {one.organ_id: one.route.kind.value for one in chosen}


def test_an_agency_of_nobody_goes_by_the_default_route() -> None:
    """What our own software sends to a known agency elsewhere goes through the axis."""
    assert meant(to(THEIRS, OURS), Origin(QLVB)) == {THEIRS: "routed", OURS: "routed"}
    found = ROUTES.route(THEIRS, NOW.date())
    assert found.connection is AXIS


def test_of_an_axis_package_only_our_recipients_are_meant() -> None:
    """The others are served by the axis: no copy goes back, and nobody is told of a refusal."""
    document = to(OURS, THEIRS, "000.00.00.H99")
    assert meant(document, Origin(AXIS)) == {OURS: "routed"}
    assert recipient_routes(document, ROUTES, NOW, Origin(AXIS))[1] == []


def test_the_recipients_named_beside_the_package_decide() -> None:
    """VXP's `to`: one of our two agencies now, the other with the next item."""
    document = to(OURS, ALSO_OURS, THEIRS)
    assert meant(document, Origin(AXIS, (ALSO_OURS,))) == {ALSO_OURS: "routed"}


def test_a_circle_between_two_gateways_ends_in_a_refusal() -> None:
    """The axis hands over what only the axis could deliver: the sender is told."""
    chosen, findings = recipient_routes(to(THEIRS), ROUTES, NOW, Origin(AXIS, (THEIRS,)))
    assert [one.route.kind.value for one in chosen] == ["no-connection"]
    assert "circle" in findings[0].sentence.en and "vòng" in findings[0].sentence.vi


def test_when_nobody_of_an_axis_package_is_known_the_sender_is_told() -> None:
    """Better one refusal than silence."""
    assert meant(to("000.00.00.H99"), Origin(AXIS)) == {"000.00.00.H99": "unknown-agency"}


def test_two_agencies_of_one_software_write_to_each_other() -> None:
    """Only gateways are kept from getting back what they sent."""
    assert meant(to(OURS), Origin(QLVB)) == {OURS: "routed"}
    circle = replace(QLVB, settings={"gateway": True})
    assert meant(to(OURS), Origin(circle)) == {OURS: "no-connection"}
