"""Who sends and who receives a package: rule ID-SENDER, and a route for every recipient."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from envelopes.findings import Finding, Sentence
from envelopes.model import VIETNAM_TIME, Document, Party
from envelopes.rule_catalogue import make
from routing.change_step import receivers
from routing.route_table import Connection, Route, RouteKind, RouteTable


@dataclass(frozen=True, slots=True)
class RecipientRoute:
    """One To of a document and where its copy would go."""

    organ_id: str
    name: str
    route: Route
    #: Where the package names it.
    element: str = ""

    @property
    def routed(self) -> bool:
        """Whether a copy can go there."""
        return self.route.kind is RouteKind.ROUTED


@dataclass(frozen=True, slots=True)
class Origin:
    """How a package came, as far as it matters for whom it is meant here."""

    connection: Connection
    #: Recipients that the partner named beside the package; empty: all that the package names.
    only_for: tuple[str, ...] = ()


def recipient_routes(
    document: Document, routes: RouteTable, now: datetime, origin: Origin | None = None
) -> tuple[list[RecipientRoute], list[Finding]]:
    """A route for each recipient, one per agency, and what is to be said about them.

    Of a package that another gateway hands over, only those recipients are meant that it names
    beside the package, or else those that are not reached through that gateway itself.
    """
    today = now.astimezone(VIETNAM_TIME).date()
    chosen: dict[str, RecipientRoute] = {}
    findings: list[Finding] = []
    added = [Party(code) for code in receivers(document, removed=False)]
    listed = len(document.recipients)
    for position, party in enumerate((*document.recipients, *added), start=1):
        route = routes.route(party.organ_id, today)
        element = f"MessageHeader/To[{position}]/OrganId"
        if position > listed:
            if route.organ_key in chosen:
                continue
            element = f"ReceiverList/Receiver[{position - listed}]/OrganId"
        if route.organ_key in chosen:
            findings.append(
                make(
                    "RECIPIENT-TWICE",
                    element=element,
                    found=party.organ_id,
                    allowed=chosen[route.organ_key].organ_id,
                )
            )
            continue
        name = route.agency.name if route.agency else party.organ_name
        chosen[route.organ_key] = RecipientRoute(party.organ_id, name, route, element)
    meant = list(chosen.values())
    if origin is not None:
        meant = _meant_here(meant, routes, origin)
    findings += [_no_way(recipient) for recipient in meant if not recipient.routed]
    return meant, findings


def _no_way(recipient: RecipientRoute) -> Finding:
    """Rule ID-RECIPIENT, in the words of the route."""
    finding = make(
        "ID-RECIPIENT",
        element=recipient.element,
        found=recipient.organ_id,
        allowed="an active agency of the directory that a connection serves",
    )
    return replace(finding, sentence=recipient.route.sentence)


def _meant_here(
    recipients: list[RecipientRoute], routes: RouteTable, origin: Origin
) -> list[RecipientRoute]:
    """Those recipients whose copies are this gateway's business."""
    if origin.only_for:
        named = {routes.key_of_text(code) for code in origin.only_for}
        recipients = [one for one in recipients if one.route.organ_key in named]
    elif origin.connection.is_gateway:
        ours = [one for one in recipients if one.routed and not _back(one, origin)]
        # When none is known here, the sender is told so rather than nobody.
        unknown = [one for one in recipients if not _back(one, origin)]
        recipients = ours or unknown or recipients
    return [_no_return(one) if _back(one, origin) else one for one in recipients]


def _back(recipient: RecipientRoute, origin: Origin) -> bool:
    """Whether the copy would go back to the gateway that it came from: a loop."""
    connection = recipient.route.connection
    return (
        origin.connection.is_gateway
        and connection is not None
        and connection.id == origin.connection.id
    )


def _no_return(recipient: RecipientRoute) -> RecipientRoute:
    name = recipient.route.connection.name if recipient.route.connection else ""
    sentence = Sentence(
        vi=f"{recipient.name} chỉ có thể đến qua «{name}», là nơi gói tin vừa được gửi tới đây: "
        "hai trục chuyển vòng cho nhau.",
        en=f"{recipient.name} is reached only through {name!r}, from where the package came: "
        "the two gateways send it round in a circle.",
    )
    route = replace(
        recipient.route, kind=RouteKind.NO_CONNECTION, sentence=sentence, connection=None
    )
    return replace(recipient, route=route)


def judge_sender(
    organ_id: str, element: str, connection: Connection, routes: RouteTable
) -> Finding | None:
    """Rule ID-SENDER (KG 10.4): From belongs to the connection that hands the package in."""
    if routes.owns(connection.id, organ_id):
        return None
    codes = ", ".join(str(code) for code in connection.agencies)
    return make("ID-SENDER", element=element, found=organ_id, allowed=codes)
