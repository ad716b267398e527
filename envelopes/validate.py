"""The normalised package against our schemas: libxml2 judges, xmlschema explains a failure.

libxml2 says yes in a fraction of a millisecond. Only when it says no does xmlschema go over the
same document and name every place, what stood there and what is allowed, all at once.
"""

from __future__ import annotations

import re

from lxml import etree

from envelopes.findings import Finding
from envelopes.limits import ReadLimits
from envelopes.node import Node
from envelopes.rule_catalogue import make
from envelopes.skeleton import Place, write_skeleton
from schemas.catalogue import Kind, fast_schema

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
    from envelopes.explain import explain  # slow to import, and only needed here

    # Should the two ever disagree, libxml2's own words serve: what it refused stays refused.
    return list(explain(document, kind, skeleton, most)) or [
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
