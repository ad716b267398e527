"""Whether a PDF still says of itself what it said when it was signed: title, author, subject …

Tools that store evidence note when they did, and who they are; pyHanko lets everything of these two
places be replaced. The title is what a reader shows above the document.
"""

from __future__ import annotations

from typing import Any

from lxml import etree
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.decode_limits import DecodePurpose
from pyhanko.pdf_utils.reader import HistoricalResolver, PdfFileReader

#: What a tool writes of its own work; of the document it says nothing.
_OF_TOOLS = frozenset({"/ModDate", "/Producer"})
_XMP_OF_TOOLS = frozenset(
    {"ModifyDate", "MetadataDate", "Producer", "InstanceID", "CreatorTool", "History", "xmptk"}
)
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"


def same_titles(reader: PdfFileReader, revision: int) -> bool:
    """Whether the document's information is that of `revision`, but for what tools say.

    What pyHanko's rules let through is an information dictionary and well-formed XMP; raises
    whatever broken ones raise.
    """
    then = reader.get_historical_resolver(revision)
    now = reader.get_historical_resolver(reader.xrefs.total_revisions - 1)
    return _info(then) == _info(now) and _xmp(then) == _xmp(now)


def _info(seen: HistoricalResolver) -> dict[str, str]:
    """The information dictionary (ISO 32000-2, 14.3.3)."""
    info = seen.trailer_view.get("/Info")
    if isinstance(info, generic.IndirectObject):
        # The trailer's own way leads to the newest revision.
        info = seen.get_object(info.reference)
    if not isinstance(info, generic.DictionaryObject):
        return {}
    return {str(key): repr(info[key]) for key in info if key not in _OF_TOOLS}


def _xmp(seen: HistoricalResolver) -> list[tuple[str, str]]:
    """Every property of the metadata stream with its text (ISO 32000-2, 14.3.2), sorted."""
    if "/Metadata" not in seen.root:
        return []
    stream = seen.root["/Metadata"]
    if not isinstance(stream, generic.StreamObject):
        return []
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    root = etree.fromstring(stream.read_data(DecodePurpose.XMP_METADATA), parser)
    return sorted(_properties(root, ""))


def _properties(element: Any, name: str) -> list[tuple[str, str]]:
    """An element's own text and attributes and those below it, by the nearest name not of RDF."""
    if not isinstance(element.tag, str):
        return []
    if not element.tag.startswith(_RDF):
        name = element.tag
    if etree.QName(name or element.tag).localname in _XMP_OF_TOOLS:
        return []
    found = [(name, text)] if (text := (element.text or "").strip()) else []
    for key, value in element.attrib.items():
        plain = key.startswith((_RDF, "{http://www.w3.org/XML/1998/namespace}"))
        if not plain and etree.QName(key).localname not in _XMP_OF_TOOLS:
            found.append((key, value))
    for child in element:
        found += _properties(child, name)
    return found
