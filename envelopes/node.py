"""The small tree that a package is read into, base64 content left out."""

from __future__ import annotations

from collections.abc import Iterator


class Node:
    """One element as it stood in the package.

    `tag` is the local name, `namespace` its URI (empty where none), `line` the 1-based line of its
    start tag, 0 where the reader added the element itself. `text` is trimmed of XML white space.
    """

    __slots__ = ("attributes", "children", "commented", "line", "namespace", "tag", "text")

    def __init__(self, tag: str, namespace: str = "", line: int = 0, text: str = "") -> None:
        self.tag = tag
        self.namespace = namespace
        self.line = line
        self.text = text
        #: Name (``namespace local`` where in one) to value.
        self.attributes: dict[str, str] = {}
        self.children: list[Node] = []
        #: Whether a comment or processing instruction stood directly inside.
        self.commented = False

    def first(self, *path: str) -> Node | None:
        """The first element at `path` below this one, None where there is none."""
        node = self
        for tag in path:
            for child in node.children:
                if child.tag == tag:
                    node = child
                    break
            else:
                return None
        return node

    def all(self, tag: str) -> list[Node]:
        """The children called `tag`."""
        return [child for child in self.children if child.tag == tag]

    def text_of(self, *path: str) -> str:
        """The text at `path`, empty where the element or its text is absent."""
        node = self.first(*path)
        return node.text if node is not None else ""

    def walk(self) -> Iterator[Node]:
        """This element and everything below it, in document order."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))

    def __repr__(self) -> str:
        return f"<Node {self.tag} line {self.line}>"
