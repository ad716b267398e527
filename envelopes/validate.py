"""The normalised package against our schemas: libxml2 judges, xmlschema explains a failure.

libxml2 says yes in a fraction of a millisecond. Only when it says no does xmlschema go over the
same document and name every place, what stood there and what is allowed, all at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

from lxml import etree
from xmlschema import XMLSchemaChildrenValidationError, XMLSchemaValidationError
from xmlschema.validators import XsdElement

from envelopes.element_names import CHILDREN
from envelopes.findings import Finding
from envelopes.limits import ReadLimits
from envelopes.node import Node
from envelopes.rule_catalogue import make
from envelopes.skeleton import Place, Skeleton, write_skeleton
from schemas.catalogue import Kind, explaining_schema, fast_schema

_LOCAL_NAME = re.compile(r"\{[^{}]*\}")


def validate(root: Node, kind: Kind, limits: ReadLimits | None = None) -> list[Finding]:
    """Findings of rule SCHEMA for the canonical tree `root`; empty where it is valid."""
    skeleton = write_skeleton(root)
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    document = etree.fromstring(skeleton.content, parser)
    schema = fast_schema(kind)
    if schema.validate(document):
        return []
    most = (limits or ReadLimits()).max_findings
    # Should the two ever disagree, libxml2's own words serve: what it refused stays refused.
    return list(_explain(document, kind, skeleton, most)) or [
        make(
            "SCHEMA",
            element=place.path,
            line=_line(place),
            found=_LOCAL_NAME.sub("", entry.message),
            allowed="QCVN 102",
        )
        for entry in list(schema.error_log)[:most]
        for place in [skeleton.place(entry.line)]
    ]


def _line(place: Place) -> int | None:
    return place.node.line or None


def _explain(
    document: etree._Element, kind: Kind, skeleton: Skeleton, most: int
) -> Iterator[Finding]:
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
            line=_line(place) if holds else node.children[0].line,
            found=node.text if holds else node.children[0].tag,
            allowed=", ".join(holds) if holds else "chỉ có chữ / text only",
        )
    allowed = _allowed_value(error)
    variant = "value" if place.node.text else "empty"
    return make(
        "SCHEMA",
        variant,
        element=place.path,
        line=_line(place),
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
            line=_line(place),
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
            line=_line(place),
            missing=expected[0],
            found=child.tag,
            allowed=", ".join(expected),
        )
    return make(
        "SCHEMA",
        "repeated" if repeated else "unexpected",
        element=place.path,
        line=child.line or _line(place),
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
