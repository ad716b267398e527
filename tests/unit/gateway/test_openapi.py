"""The contract of the REST API: a valid document that says exactly what the code does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

import gateway.rest
from envelopes.findings import Severity, refused
from envelopes.model import SignatureForm, StatusCode
from envelopes.read import read_package
from envelopes.rule_catalogue import RULES
from gateway.admission import Turned
from gateway.intake import IntakeFault
from gateway.rest.application import routes
from gateway.rest.operations import docs_page, openapi_document
from gateway.settings import ROLES
from routing.change_requests import ChangeState
from routing.deadlines import DeadlineKind, DeadlineState
from routing.lanes import Lane
from routing.records import DOCUMENT, REPLACES, REPLIES_TO, STATUS
from routing.route_table import RouteKind
from routing.states import FINAL, TransportState
from routing.submission import RefusalKind
from tests.support.contract import METHODS, operations, resolve, validator

API = openapi_document()
SCHEMAS = API["components"]["schemas"]
REST = Path(gateway.rest.__file__).parent
#: Codes that are not written next to `Problem(` but taken from these.
TAKEN_FROM = {*RefusalKind, *IntakeFault, *Turned, "no-such-path", "method-not-allowed"}


def test_the_document_is_valid_openapi_3_1() -> None:
    """openapi-spec-validator has nothing to say."""
    validate(API)
    assert API["openapi"].startswith("3.1")


def test_paths_and_methods_are_those_of_the_application() -> None:
    """No operation is missing and none is invented."""
    offered = {
        (re.sub(r"\{(\w+):[^}]+\}", r"{\1}", route.path), route.method.lower())
        for route in routes()
        if isinstance(route, web.RouteDef)
    }
    assert offered == {(path, method) for path, method, _ in operations(API)}
    assert len(offered) == len(routes())


def test_exactly_the_operations_under_v1_need_a_token() -> None:
    """Whoever reads the contract knows where the bearer token goes, and 401 is announced there."""
    assert API["security"] == [{"bearer": []}]
    for path, method, operation in operations(API):
        # An operator may close /metrics with a token of its own: `{}` beside it.
        security = operation.get("security", API["security"])
        open_to_all = security == [] or {} in security
        assert open_to_all != path.startswith("/v1/"), (method, path)
        assert bool(security) == ("401" in operation["responses"]), (method, path)


def test_path_parameters_are_described() -> None:
    """Each name in braces has its parameter, required."""
    for path, _, operation in operations(API):
        given = [resolve(API, one) for one in operation.get("parameters", [])]
        described = {one["name"] for one in given if one["in"] == "path" and one["required"]}
        assert described == set(re.findall(r"\{(\w+)\}", path)), path


def _problem_codes() -> Iterator[tuple[str | None, int | None]]:
    """Code and status of every `Problem(status, code, …)` in gateway/rest, None if computed."""
    for file in REST.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Problem":
                status, code = node.args[:2]
                yield (
                    code.value if isinstance(code, ast.Constant) else None,
                    status.value if isinstance(status, ast.Constant) else None,
                )


def test_every_problem_code_of_the_code_is_listed_and_no_other() -> None:
    """A client can rely on the list: code, status, meaning, remedy."""
    found = dict(_problem_codes())
    literal = {code for code in found if code is not None}
    assert literal, "the search for codes found none: it is broken"
    listed = SCHEMAS["ProblemCode"]["x-problems"]
    assert set(listed) == literal | {str(code) for code in TAKEN_FROM}
    assert SCHEMAS["ProblemCode"]["anyOf"][0]["enum"] == list(listed)
    for code, entry in listed.items():
        assert entry["meaning"] and entry["remedy"]
        if found.get(code) is not None:
            assert entry["status"] == found[code], code


def test_statuses_of_refusals_are_those_of_the_code() -> None:
    """What packages.py answers for a refusal or an intake fault is what the list says."""
    from gateway.rest import body, packages

    listed = SCHEMAS["ProblemCode"]["x-problems"]
    for table in (packages._STATUS_OF, body.STATUS_OF_FAULT):
        for code, status in table.items():
            assert listed[code.value]["status"] == status, code


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        (SCHEMAS["TransportState"], TransportState),
        (SCHEMAS["StatusCode"], StatusCode),
        (SCHEMAS["ChangeState"], ChangeState),
        (SCHEMAS["Deadline"]["properties"]["kind"], DeadlineKind),
        (SCHEMAS["Deadline"]["properties"]["state"], DeadlineState),
        (SCHEMAS["Lane"], Lane),
        (SCHEMAS["Kind"], (DOCUMENT, STATUS)),
        (SCHEMAS["Finding"]["properties"]["severity"], Severity),
        (SCHEMAS["Route"]["properties"]["route"], RouteKind),
        (SCHEMAS["Verdict"]["properties"]["signature"], SignatureForm),
    ],
    ids=[
        "state",
        "status",
        "change",
        "deadline",
        "standing",
        "lane",
        "kind",
        "severity",
        "route",
        "signature",
    ],
)
def test_enumerations_are_those_of_the_code_each_with_a_sentence(
    schema: dict[str, Any], values: Any
) -> None:
    """A value that the code can answer is in the contract, with what it means."""
    assert schema["enum"] == [str(value) for value in values]
    assert list(schema["x-meanings"]) == schema["enum"]
    assert all(sentence.endswith(".") for sentence in schema["x-meanings"].values())


def test_roles_and_final_states_are_those_of_the_code() -> None:
    """The roles in /readyz, which states are final, and how documents hang together."""
    assert SCHEMAS["Link"]["properties"]["kind"]["enum"] == [REPLIES_TO, REPLACES]
    assert SCHEMAS["Readiness"]["properties"]["roles"]["items"]["enum"] == list(ROLES)
    assert set(SCHEMAS["TransportState"]["x-final"]) == {str(state) for state in FINAL}


def _examples() -> Iterator[Any]:
    """Every example of a JSON body, with its schema."""
    for path, method, operation in operations(API):
        bodies = [(method, resolve(API, operation.get("requestBody", {})))]
        bodies += [(code, resolve(API, one)) for code, one in operation["responses"].items()]
        for label, body in bodies:
            for media_type, media in body.get("content", {}).items():
                for name, example in media.get("examples", {}).items():
                    case = (media_type, media["schema"], example["value"])
                    yield pytest.param(*case, id=f"{method} {path} {label} {name}")


@pytest.mark.parametrize(("media_type", "schema", "example"), list(_examples()))
def test_examples_are_valid(media_type: str, schema: dict[str, Any], example: Any) -> None:
    """An example is what the schema allows, and shows nothing that the schema does not name."""
    if media_type == "application/xml":
        read = read_package([example.encode()])
        assert read.package is not None and not refused(read.findings), read.findings
        return
    errors = [error.message for error in validator(API, schema).iter_errors(example)]
    assert errors == []


def test_every_json_answer_has_an_example() -> None:
    """Nobody has to guess how an answer looks."""
    for path, method, operation in operations(API):
        for code, given in operation["responses"].items():
            for media_type, media in resolve(API, given).get("content", {}).items():
                wanted = "json" in media_type and path != "/openapi.json"
                assert not wanted or media.get("examples"), (method, path, code)


def test_rules_in_examples_exist() -> None:
    """A finding in an example has a rule of the catalogue, a time limit one of its own."""
    rules = set(re.findall(r"'rule': '([A-Z-]+)'", str(API)))
    assert rules and rules <= set(RULES) | {kind.rule for kind in DeadlineKind}


def test_schemas_are_valid_json_schema() -> None:
    """Each one by itself, and every member is described."""
    for name, schema in SCHEMAS.items():
        Draft202012Validator.check_schema(schema)
        assert schema.get("description"), name
        for member, inner in schema.get("properties", {}).items():
            described = inner.get("description") or "$ref" in inner or inner.get("type") == "object"
            assert described, (name, member)
        required = set(schema.get("required", []))
        assert required <= set(schema.get("properties", {})), name


class _Page(HTMLParser):
    """What the page links to, names and loads."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name == "href":
                self.links.append(value or "")
            if name in ("src", "srcset", "action") or name.startswith("on"):
                self.loads.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        self.text += data


async def _page() -> tuple[_Page, web.Response]:
    answer = docs_page("http://127.0.0.1:8080")
    assert answer.text is not None
    page = _Page()
    page.feed(answer.text)
    return page, answer


async def test_docs_names_every_operation_problem_and_state() -> None:
    """The page for people leaves nothing out."""
    page, _ = await _page()
    for path, _, operation in operations(API):
        assert operation["operationId"] in page.ids
        assert operation["summary"] in page.text
        assert path in page.text
        assert operation.get("x-sample", "") in page.text
    for code in SCHEMAS["ProblemCode"]["x-problems"]:
        assert f"problem-{code}" in page.ids
    for sentence in SCHEMAS["TransportState"]["x-meanings"].values():
        assert sentence in page.text
    assert "Nguyễn Văn An" in page.text, "the example package is shown"


async def test_docs_road_shows_every_sample_of_its_steps() -> None:
    """The two-minute road: try, send, list, fetch, confirm, report; no step is blank."""
    page, _ = await _page()
    road = page.text.split("What always holds")[1].split("Authentication")[0]
    for name in ("/check", "/v1/packages\n", "/inbox?wait", "/content", "/confirm", "/reports"):
        assert name.strip() in road, name


async def test_docs_loads_nothing_and_every_link_on_it_leads_somewhere() -> None:
    """Self-contained: no script, no picture, no font; ids are unique, links are right."""
    page, answer = await _page()
    assert page.loads == []
    assert not page.tags & {"script", "link", "img", "iframe", "object", "form"}
    assert "url(" not in (answer.text or "") and "@import" not in (answer.text or "")
    assert len(page.ids) == len(set(page.ids))
    local = {link[1:] for link in page.links if link.startswith("#")}
    assert local <= set(page.ids), local - set(page.ids)
    assert {link for link in page.links if not link.startswith("#")} == {"/openapi.json"}
    policy = answer.headers["Content-Security-Policy"]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_methods_known_to_the_tests_cover_openapi() -> None:
    """The walk over operations looks at every key of a path that could be one."""
    known = {*METHODS, "parameters", "summary", "description", "servers"}
    assert {key for item in API["paths"].values() for key in item} <= known
