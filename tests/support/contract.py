"""Reading `openapi.yaml` in tests: operations, references, and schemas made strict.

The contract lets answers grow (clients ignore members they do not know); the tests do not: here a
member that the schema does not name is an error, so nothing is answered that is not described.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

METHODS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")


def operations(api: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation, for all of them."""
    for path, item in api["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def resolve(api: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """The thing itself, where `node` only refers to it."""
    if "$ref" not in node:
        return node
    target: Any = api
    for step in node["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    assert isinstance(target, dict)
    return target


def validator(api: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    """A validator of this schema that refuses members it does not name."""
    whole = {**_closed(schema), "components": {"schemas": _closed(api["components"]["schemas"])}}
    return Draft202012Validator(whole, format_checker=FormatChecker())


def _closed(node: Any) -> Any:
    node = deepcopy(node)
    if isinstance(node, list):
        return [_closed(one) for one in node]
    if not isinstance(node, dict):
        return node
    closed = {key: _closed(value) for key, value in node.items()}
    if closed.get("type") == "object" and "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed


def answer_schema(
    api: dict[str, Any], method: str, path: str, status: int, media_type: str
) -> dict[str, Any]:
    """The schema of one answer. Raises AssertionError for one that the contract does not have."""
    answers = api["paths"][path][method]["responses"]
    assert str(status) in answers, f"{method} {path} answered {status}, which is not described"
    content = resolve(api, answers[str(status)]).get("content", {})
    assert media_type in content, f"{method} {path} {status} answered {media_type}"
    schema = content[media_type]["schema"]
    assert isinstance(schema, dict)
    return schema
