"""docs/asyncapi.yaml says exactly what the code publishes, consumes and declares."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from aio_pika import Message
from jsonschema import Draft202012Validator

from adapters.amqp_partner import wire
from adapters.amqp_partner.names import Names
from envelopes.findings import Sentence
from gateway.amqp_claim_pages import ROUTES
from gateway.rest.operations import openapi_document
from routing.lanes import Lane
from routing.records import DOCUMENT, STATUS, Delivery, PackageRecord
from routing.states import TransportState
from tests.support.contract import resolve

ROOT = Path(__file__).parent.parent.parent.parent
API = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text("utf-8"))
CHANNELS, MESSAGES = API["channels"], API["components"]["messages"]
NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)
DIGEST = "a6801e7b3a90089c47a2d520e219572a92bde04ffc7d327b79bc7cb9bca596b4"


def _refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from _refs(value)


def _inlined(node: Any, document: Any = API) -> Any:
    """The schema with every reference replaced by what it refers to."""
    if isinstance(node, dict):
        ref = node.get("$ref")
        if isinstance(ref, str):
            other = (
                openapi_document() if ref.startswith("../gateway/rest/openapi.yaml") else document
            )
            return _inlined(resolve(other, {"$ref": "#" + ref.partition("#")[2]}), other)
        return {key: _inlined(value, document) for key, value in node.items()}
    if isinstance(node, list):
        return [_inlined(value, document) for value in node]
    return node


def _faults(schema: Any, value: Any) -> list[str]:
    whole = _inlined(schema)
    Draft202012Validator.check_schema(whole)
    return [fault.message for fault in Draft202012Validator(whole).iter_errors(value)]


def test_it_is_asyncapi_3_and_every_reference_leads_somewhere() -> None:
    """The version, the members that the standard needs, no dangling reference."""
    assert API["asyncapi"] == "3.0.0" and API["info"]["title"] and API["info"]["version"]
    for ref in _refs(API):
        target = openapi_document() if ref.startswith("../") else API
        for part in ref.partition("#/")[2].split("/"):
            target = target[part]
        assert target is not None, ref
    for operation in API["operations"].values():
        assert operation["action"] in ("send", "receive") and operation["summary"].endswith(".")


def test_channels_are_the_names_of_the_code() -> None:
    """Exchange and queues of a partner, and nothing else but the signed addresses."""
    names = Names("{prefix}", "{user}")
    addresses = {key: channel["address"] for key, channel in CHANNELS.items() if key != "claims"}
    assert addresses == {
        "intake": names.intake,
        "inbox": names.inbox,
        "inboxUrgent": names.inbox_urgent,
        "answers": names.answers,
        "dead": names.dead,
    }
    assert set(addresses.values()) == {queue.name for queue in names.queues()}
    for key, channel in CHANNELS.items():
        if key == "claims":
            continue
        binding = channel["bindings"]["amqp"]
        told = binding["exchange"] if binding["is"] == "routingKey" else binding["queue"]
        assert told["name"] == channel["address"] and told["durable"] is True
        assert set(channel["parameters"]) == {"prefix", "user"}
    [intake] = [queue for queue in names.queues() if queue.name == names.intake]
    assert all(intake.arguments[one] is True for one in CHANNELS["intake"]["x-arguments"])


def test_the_partner_may_write_and_read_what_the_channels_say() -> None:
    """The gateway receives where the partner writes, and sends where it reads; dead is nobody's."""
    import re

    names = Names("lienthong", "lt-a.b-1a2b3c4d")
    for operation in API["operations"].values():
        key = operation["channel"]["$ref"].rpartition("/")[2]
        if key in ("claims", "dead"):
            continue
        address = CHANNELS[key]["address"].format(prefix=names.prefix, user=names.user)
        pattern = names.may_write if operation["action"] == "receive" else names.may_read
        other = names.may_read if operation["action"] == "receive" else names.may_write
        assert re.search(pattern, address) and not re.search(other, address), address
    assert not re.search(names.may_read, names.dead) and not re.search(names.may_write, names.dead)
    assert not re.search(names.may_write, names.intake.replace(".amqp.", "xamqpx"))


def test_the_signed_addresses_are_those_of_the_application() -> None:
    """Path and methods of the channel `claims`."""
    path = CHANNELS["claims"]["address"].partition("?")[0].replace("{sha256}", "{digest}")
    methods = {
        one["bindings"]["http"]["method"] for one in API["operations"].values() if "bindings" in one
    }
    assert {(route.method, route.path) for route in ROUTES} == {(one, path) for one in methods}


def test_types_headers_and_outcomes_are_those_of_the_code() -> None:
    """Every header that the code writes or reads is told, and no other."""
    schema = API["components"]["schemas"]
    assert tuple(schema["packageHeaders"]["properties"]) == wire.PACKAGE_HEADERS
    assert schema["packageHeaders"]["required"] == list(wire.PACKAGE_HEADERS)
    assert set(schema["packageHeaders"]["properties"][wire.LANE]["enum"]) == set(Lane)
    assert schema["packageHeaders"]["properties"][wire.KIND]["enum"] == [DOCUMENT, STATUS]
    assert set(MESSAGES["handedIn"]["headers"]["properties"]) == {wire.RECIPIENT}
    receipt = MESSAGES["receipt"]["headers"]["properties"]
    assert set(receipt) == {wire.OUTCOME, wire.SHA256}
    assert receipt[wire.OUTCOME]["enum"] == [wire.RECEIVED, wire.REFUSED]
    outcomes = schema["answerHeaders"]["properties"][wire.OUTCOME]["enum"]
    assert outcomes == [wire.ACCEPTED, wire.RECORDED, wire.REFUSED]
    assert set(MESSAGES["dead"]["headers"]["properties"]) == {wire.REASON}
    assert MESSAGES["claimCheck"]["contentType"] == wire.CLAIM_CHECK
    kinds = {
        one["x-properties"]["properties"].get("type", {}).get("const")
        for one in MESSAGES.values()
        if "x-properties" in one
    }
    assert kinds - {None} == {wire.PACKAGE, wire.RECEIPT, wire.ANSWER}


def _delivery() -> tuple[Delivery, PackageRecord]:
    package = PackageRecord(
        "01a1fe36-0765-738f-a488-810bb24c09e9", DOCUMENT, "G22", "000.00.00.G22", "VPCP", "c", "d",
        "G22,2026/11/20,1/CV", "0", 1, DIGEST, 5812, Lane.URGENT, "trace", NOW,
    )  # fmt: skip
    delivery = Delivery(
        "01a1fe36-0765-738f-a488-810c038ab19d", package.id, "d", "H41", "000.00.00.H41", "Nghệ An",
        "c", Lane.URGENT, TransportState.DELIVERING, NOW, NOW, NOW, "trace",
    )  # fmt: skip
    return delivery, package


def _written() -> Iterator[Any]:
    """A real message of each kind that the code writes."""
    row, package = _delivery()
    place = wire.PlaceOfPackage("https://gateway.example/v1/claims/x", NOW)
    why = Sentence("Không đúng", "Wrong")
    problem = {
        "type": "urn:lienthong:problem:not-found", "title": "Not Found", "status": 404,
        "code": "not-found", "detail": "No.", "detailVi": "Không.", "correlationId": "t",
    }  # fmt: skip
    recorded = {"deliveryId": row.id, "repeated": False}
    yield "package", wire.package_message(row, package, b"<edXML/>", "lienthong", NOW)
    yield "claimCheck", wire.package_message(row, package, place, "lienthong", NOW)
    yield "handedIn", wire.package_message(row, package, b"<edXML/>", "lt-x", NOW)
    yield "receipt", wire.receipt_message(row.id, DIGEST, "lt-x", "receipt-1")
    yield "receipt", wire.receipt_message(row.id, DIGEST, "lt-x", "receipt-1", why)
    yield "recorded", wire.answer_message("m-1", wire.RECORDED, recorded, "a-1")
    yield "refused", wire.answer_message("m-1", wire.REFUSED, problem, "a-1")


@pytest.mark.parametrize(("name", "message"), list(_written()))
def test_what_the_code_writes_is_what_the_document_says(name: str, message: Message) -> None:
    """Properties, headers and body of real messages, against the schemas."""
    told = MESSAGES[name]
    properties = {
        key: value
        for key in ("type", "message_id", "correlation_id", "content_type", "user_id")
        if (value := getattr(message, key)) is not None
    }
    properties["delivery_mode"] = int(message.delivery_mode or 0)
    properties["timestamp"] = str(message.timestamp)
    assert _faults(told["x-properties"], properties) == []
    assert _faults(told.get("headers", {}), dict(message.headers)) == []
    if told.get("contentType", wire.JSON) != wire.XML:
        assert message.content_type == told.get("contentType", wire.JSON)
        assert _faults(told["payload"], json.loads(message.body)) == []


@pytest.mark.parametrize("name", [key for key, one in MESSAGES.items() if "examples" in one])
def test_examples_are_valid(name: str) -> None:
    """Each example has the headers and the body that the schemas want."""
    for example in MESSAGES[name]["examples"]:
        assert _faults(MESSAGES[name]["headers"], example["headers"]) == []
        assert _faults(MESSAGES[name]["payload"], example["payload"]) == []


def test_the_schemas_refuse_what_is_wrong() -> None:
    """The comparison above can fail: a missing header, a wrong digest, an unknown outcome."""
    receipt = MESSAGES["receipt"]["headers"]
    assert _faults(receipt, {"lt-outcome": "received"})
    assert _faults(receipt, {"lt-outcome": "maybe", "lt-sha256": DIGEST})
    assert _faults(receipt, {"lt-outcome": "received", "lt-sha256": DIGEST.upper()})
    assert _faults(MESSAGES["claimCheck"]["payload"], {"url": "https://x"})
    row, package = _delivery()
    headers = dict(wire.package_message(row, package, b"", "u", NOW).headers)
    assert _faults(MESSAGES["package"]["headers"], {**headers, "lt-more": "1"})
