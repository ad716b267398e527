"""What xmlschema says of a package that libxml2 refused: every place, what stood there, what may.

A module of its own because the library takes a third of a second to import, and most processes
never meet a package that is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

from lxml import etree
from xmlschema import XMLSchemaChildrenValidationError, XMLSchemaValidationError
from xmlschema.validators import XsdElement

from envelopes.element_names import CHILDREN
from envelopes.findings import Finding, Sentence
from envelopes.rule_catalogue import make
from envelopes.skeleton import Place, Skeleton
from schemas.catalogue import Kind, explaining_schema

_LOCAL_NAME = re.compile(r"\{[^{}]*\}")


def explain(
    document: etree._Element, kind: Kind, skeleton: Skeleton, most: int
) -> Iterator[Finding]:
    """At most `most` findings of rule SCHEMA, no two alike."""
    schema = explaining_schema(kind)
    seen: set[tuple[str, str]] = set()
    for error in schema.iter_errors(cast(Any, document)):
        place = skeleton.place(getattr(error.elem, "sourceline", None))
        finding = _finding(error, place)
        key = (finding.element, finding.sentence.en)
        if key in seen:
            continue
        seen.add(key)
        yield finding
        if len(seen) >= most:
            return


def _finding(error: XMLSchemaValidationError, place: Place) -> Finding:
    if isinstance(error, XMLSchemaChildrenValidationError):
        return _children_finding(error, place)
    node = place.node
    if node.children:
        holds = CHILDREN.get(node.tag)
        return make(
            "SCHEMA",
            "text" if holds else "unexpected",
            element=place.path,
            line=place.node.line or None if holds else node.children[0].line,
            found=node.text if holds else node.children[0].tag,
            allowed=", ".join(holds) if holds else Sentence("chỉ có chữ", "text only"),
        )
    allowed = _allowed_value(error)
    variant = "value" if place.node.text else "empty"
    return make(
        "SCHEMA",
        variant,
        element=place.path,
        line=place.node.line or None,
        found=place.node.text,
        allowed=allowed,
    )


def _children_finding(error: XMLSchemaChildrenValidationError, place: Place) -> Finding:
    """Something missing, something in the wrong place, or too many of something."""
    expected = _names(error.expected)
    children = place.node.children
    index = error.index
    # xmlschema counts the children of the skeleton, which are the children of the tree.
    if index >= len(children):
        return make(
            "SCHEMA",
            "missing",
            element=place.path,
            line=place.node.line or None,
            missing=expected[0] if expected else "",
            found="",
            allowed=", ".join(expected),
        )
    child = children[index]
    # Canonical order puts equal children side by side.
    repeated = index > 0 and children[index - 1].tag == child.tag
    if expected and not repeated and _belongs(error, child.tag):
        return make(
            "SCHEMA",
            "missing",
            element=place.path,
            line=place.node.line or None,
            missing=expected[0],
            found=child.tag,
            allowed=", ".join(expected),
        )
    return make(
        "SCHEMA",
        "repeated" if repeated else "unexpected",
        element=place.path,
        line=child.line or place.node.line or None,
        found=child.tag,
        allowed=", ".join(expected) or ", ".join(_names(list(_model(error)))),
    )


def _belongs(error: XMLSchemaChildrenValidationError, tag: str) -> bool:
    """Whether `tag` belongs to the element's content at all: then what is before it is missing."""
    return tag in _names(list(_model(error)))


def _model(error: XMLSchemaChildrenValidationError) -> Iterator[XsdElement]:
    validator: Any = error.validator
    for item in validator.iter_elements():
        if isinstance(item, XsdElement):
            yield item


def _names(expected: object) -> list[str]:
    items = expected if isinstance(expected, (list, tuple)) else []
    return [str(item.local_name) for item in items if isinstance(item, XsdElement)]


def _allowed_value(error: XMLSchemaValidationError) -> str:
    """What the documentation of the simple type says, else the schema's own reason."""
    validator: object = error.validator
    for candidate in (validator, getattr(validator, "parent", None)):
        annotation = getattr(candidate, "annotation", None)
        if annotation is not None and str(annotation):
            return str(annotation)
    return _LOCAL_NAME.sub("", error.reason or "QCVN 102")
