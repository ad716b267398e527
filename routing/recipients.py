"""Who sends and who receives a package: rule ID-SENDER, and a route for every recipient."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from envelopes.findings import Finding
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


def recipient_routes(
    document: Document, routes: RouteTable, now: datetime
) -> tuple[list[RecipientRoute], list[Finding]]:
    """A route for each recipient, one per agency, and what is to be said about them."""
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
        if route.kind is not RouteKind.ROUTED:
            finding = make(
                "ID-RECIPIENT",
                element=element,
                found=party.organ_id,
                allowed="an active agency of the directory that a connection serves",
            )
            finding = replace(finding, sentence=route.sentence)
            findings.append(finding)
        name = route.agency.name if route.agency else party.organ_name
        chosen[route.organ_key] = RecipientRoute(party.organ_id, name, route)
    return list(chosen.values()), findings


def judge_sender(
    organ_id: str, element: str, connection: Connection, routes: RouteTable
) -> Finding | None:
    """Rule ID-SENDER (KG 10.4): From belongs to the connection that hands the package in."""
    if routes.owns(connection.id, organ_id):
        return None
    codes = ", ".join(str(code) for code in connection.agencies)
    return make("ID-SENDER", element=element, found=organ_id, allowed=codes)
