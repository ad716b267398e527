"""The normalised tree written out for the validators: one element per line.

libxml2 only ever sees these bytes, never what a stranger sent. Line n of them is the nth element,
which leads every complaint back to the line of the package as it was received.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import escape

from envelopes.element_names import EDXML, ENVELOPE, HEADER, MANIFEST, NAMESPACE, VERSION
from envelopes.node import Node

_TEXT_ESCAPES = {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
_ATTRIBUTE_ESCAPES = {**_TEXT_ESCAPES, '"': "&quot;"}
#: Left out of the paths shown to people: every package has them.
_UNSAID = frozenset({EDXML, ENVELOPE, HEADER})


@dataclass(frozen=True, slots=True)
class Place:
    """Where an element is: its path as people read it, and the element itself."""

    path: str
    node: Node


@dataclass(frozen=True, slots=True)
class Skeleton:
    """The bytes for the validators and the place of each of their lines."""

    content: bytes
    places: tuple[Place, ...]

    def place(self, line: int | None) -> Place:
        """The place of a line of `content` (the root where a validator gave none)."""
        index = (line or 1) - 1
        return self.places[index if 0 <= index < len(self.places) else 0]


def write_skeleton(root: Node) -> Skeleton:
    """`root` as bytes, element by element."""
    lines: list[str] = []
    places: list[Place] = []
    _write(root, "", f' xmlns="{NAMESPACE}"', lines, places)
    return Skeleton("\n".join(lines).encode("utf-8"), tuple(places))


def _write(node: Node, path: str, declaration: str, lines: list[str], places: list[Place]) -> None:
    places.append(Place(path or node.tag, node))
    if node.tag == MANIFEST and VERSION in node.attributes:
        version = escape(node.attributes[VERSION], _ATTRIBUTE_ESCAPES)
        declaration += f' {VERSION}="{version}"'
    text = escape(node.text, _TEXT_ESCAPES) if node.text else ""
    if not node.children:
        lines.append(f"<{node.tag}{declaration}>{text}</{node.tag}>")
        return
    lines.append(f"<{node.tag}{declaration}>{text}")
    tags = [child.tag for child in node.children]
    seen: dict[str, int] = {}
    for child in node.children:
        tag = child.tag
        seen[tag] = number = seen.get(tag, 0) + 1
        alone = number == 1 and tags.count(tag) == 1
        step = tag if alone else f"{tag}[{number}]"
        below = "" if tag in _UNSAID else f"{path}/{step}" if path else step
        _write(child, below, "", lines, places)
    # The end tag shares the last line, so that lines and elements stay in step.
    lines[-1] += f"</{node.tag}>"
