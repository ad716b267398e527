"""What to tell a clerk when a package is not XML, or not ours: one finding per kind of fault."""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Sequence
from xml.parsers import expat
from xml.parsers.expat import errors

from envelopes.element_names import EDXML, NAMESPACE, OLD_NAMESPACES
from envelopes.findings import Finding, Sentence
from envelopes.node import Node
from envelopes.rule_catalogue import make

_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
    (b"<\x00\x00\x00", "UTF-32"),
    (b"\x00\x00\x00<", "UTF-32"),
    (b"<\x00", "UTF-16"),
    (b"\x00<", "UTF-16"),
)

_TAG = re.compile(rb"(?:</?)?([^\s/>=]+)")
_PREFIXED = re.compile(rb"[\s</]([A-Za-z_][\w.-]*):[A-Za-z_]")
_ENTITY = re.compile(rb"&[^;\s]{1,64};?")
_ENTITIES = "&lt; &gt; &amp; &quot; &apos;"


def foreign_encoding(start: bytes) -> str:
    """The encoding other than UTF-8 that a package beginning with `start` is in, else empty."""
    return next((name for mark, name in _MARKS if start.startswith(mark)), "")


def root_problem(root: Node) -> Finding | None:
    """Why a package with this root element is not edXML of QCVN 102, else None."""
    if root.namespace.rstrip("/") in {old.rstrip("/") for old in OLD_NAMESPACES}:
        return _namespace_finding(root, "old")
    if root.namespace != NAMESPACE:
        if root.tag == EDXML or not root.namespace:
            return _namespace_finding(root, "")
    elif root.tag == EDXML:
        return None
    return make("XML-ROOT", element=root.tag, line=root.line, found=root.tag, allowed=EDXML)


def _namespace_finding(root: Node, variant: str) -> Finding:
    return make(
        "XML-NAMESPACE",
        variant,
        element=root.tag,
        line=root.line,
        found=root.namespace,
        allowed=NAMESPACE,
    )


def comment_finding(node: Node) -> Finding:
    """The finding for a comment or instruction directly inside `node`, once its text is known.

    Inside a value it is refused: one program reads ``A<!-- -->B`` as AB, another as A
    (specification, reliability 2.2). Between elements it is harmless.
    """
    if not node.text or node.children:
        return make("XML-COMMENT", element=node.tag, line=node.line)
    return make(
        "XML-FORM",
        "comment",
        element=node.tag,
        line=node.line,
        found=node.text,
        allowed=Sentence("giá trị liền một mạch", "one uninterrupted value"),
    )


def explain(
    error: expat.ExpatError, context: bytes, opened: Sequence[Node], declared: Collection[str]
) -> Finding:
    """The finding for a parser error; `context` begins where the parser stopped.

    `opened` are the elements open at that point, outermost first; `declared` the prefixes that
    the package declares anywhere before.
    """
    message = expat.ErrorString(error.code)
    inner = opened[-1] if opened else None
    element = inner.tag if inner is not None else EDXML
    line = error.lineno
    if message == errors.XML_ERROR_TAG_MISMATCH and inner is not None:
        return make(
            "XML-FORM",
            "mismatch",
            element=element,
            line=line,
            found=f"</{_local(_tag(context))}>",
            allowed=f"</{element}>",
            opened=inner.line,
        )
    if message == errors.XML_ERROR_UNBOUND_PREFIX:
        return _unbound_prefix(context, line, declared)
    if message == errors.XML_ERROR_UNDEFINED_ENTITY:
        entity = _ENTITY.match(context)
        found = entity[0].decode("utf-8", "replace") if entity else "&"
        return make(
            "XML-FORM", "entity", element=element, line=line, found=found, allowed=_ENTITIES
        )
    if message in (
        errors.XML_ERROR_NO_ELEMENTS,
        errors.XML_ERROR_UNCLOSED_TOKEN,
        errors.XML_ERROR_PARTIAL_CHAR,
        errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    ):
        variant = "truncated" if inner is not None else "empty"
        allowed = f"</{element}>" if inner is not None else f"<{EDXML}>"
        return make("XML-FORM", variant, element=element, line=line, allowed=allowed)
    if message == errors.XML_ERROR_INVALID_TOKEN and (invalid := _invalid_utf8(context)):
        return make(
            "XML-ENCODING", "invalid", element=element, line=line, found=invalid, allowed="UTF-8"
        )
    return make("XML-FORM", element=element, line=line, found=message, allowed="XML 1.0")


def _unbound_prefix(context: bytes, line: int, declared: Collection[str]) -> Finding:
    """Name the first prefix of the tag that nothing declares (expat does not say which)."""
    used = [name.decode("utf-8", "replace") for name in _PREFIXED.findall(context.split(b">")[0])]
    prefix = next((name for name in used if name not in declared), "?")
    return make(
        "XML-NAMESPACE",
        "prefix",
        element=_local(_tag(context)),
        line=line,
        found=prefix,
        allowed=f'xmlns:{prefix}="…"',
    )


def _tag(context: bytes) -> str:
    match = _TAG.match(context)
    return match[1].decode("utf-8", "replace") if match else ""


def _local(tag: str) -> str:
    return tag.rpartition(":")[2]


def _invalid_utf8(context: bytes) -> str:
    """The bytes at the start of `context` where they are no UTF-8 character, in hexadecimal."""
    first = context[:1]
    if not first or first < b"\x80":
        return ""
    length = 4 if first >= b"\xf0" else 3 if first >= b"\xe0" else 2
    try:
        context[:length].decode("utf-8")
    except UnicodeDecodeError:
        return "0x" + context[:2].hex().upper()
    return ""
