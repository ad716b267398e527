"""Old Vietnamese encodings recognised by the letters they leave behind (BT 3.2, TCVN 6909:2001).

TCVN3 (ABC) and VNI-Windows put Vietnamese letters where Latin-1 has others, and only their fonts
draw them right. A heuristic: it counts letters that no Vietnamese word has in Unicode but that
every sentence has in the old encoding. Short texts (one or two words) may go unrecognised.
"""

from __future__ import annotations

import re
import unicodedata

from envelopes.rules.facts import TextEncoding

#: Signs that stand for letters in TCVN3, next to a letter, and capitals inside words: "x· héi",
#: "ViÖt", "®éc lËp". No word of any language that is written in Latin letters has them.
_TCVN3 = re.compile(
    "(?<=[A-Za-z])[\u00b5\u00b8\u00b6\u00b7\u00b9\u00a8\u00a9\u00aa\u00ab\u00ac\u00ae\u00bb\u00bc"
    "\u00bd\u00be\u00d7\u00f7]"
    "|[\u00a7\u00a8\u00a9\u00aa\u00ab\u00ac\u00ae](?=[A-Za-z\u00b5-\u00ff])"
    "|(?<=[a-z])[\u00c0-\u00de]"
)
#: VNI writes a vowel and its accents as two letters: "Coäng hoøa xaõ hoäi", "Vieät Nam", "ñoäc".
_VNI = re.compile(
    "[aeiouyAEIOUY\u00f4\u00f6\u00d4\u00d6]"
    "[\u00f8\u00fb\u00ef\u00e5\u00e4\u00fc\u00eb\u00d8\u00db\u00cf\u00c5\u00c4\u00dc\u00cb]"
    "|\\b[\u00f1\u00d1](?=[A-Za-z\u00f4\u00f6\u00ee\u00e6])"
)
#: Letters that only Unicode Vietnamese has.
_UNICODE = re.compile("[\u0102\u0103\u0110\u0111\u01a0\u01a1\u01af\u01b0\u1ea0-\u1ef9]")
#: Signs of one encoding that a text must have at least.
_ENOUGH = 2
#: How much of a text is looked at.
_LOOKED_AT = 65_536


def legacy_encoding(text: str) -> TextEncoding | None:
    """The old encoding that `text`, read as Latin-1 or sent as such, was written in; else None."""
    if text.isascii():
        return None
    text = text[:_LOOKED_AT]
    proper = len(_UNICODE.findall(text))
    vni, tcvn3 = len(_VNI.findall(text)), len(_TCVN3.findall(text))
    if max(vni, tcvn3) < _ENOUGH or max(vni, tcvn3) <= proper:
        return None
    return TextEncoding.VNI if vni >= tcvn3 else TextEncoding.TCVN3


def header_problem(text: str) -> tuple[TextEncoding | None, bool]:
    """The old encoding of a header text, if any, and whether its letters are composed (NFC)."""
    if text.isascii():
        return None, True
    return legacy_encoding(text), unicodedata.is_normalized("NFC", text)


def encoding_of(sample: bytes, *, utf8: bool) -> TextEncoding:
    """The encoding of a text file by its first bytes; `utf8`: all of it is valid UTF-8."""
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return TextEncoding.UTF16
    if utf8:
        # Latin-1 letters that were converted to UTF-8 one by one are an old encoding all the same.
        return legacy_encoding(sample.decode("utf-8", "ignore")) or TextEncoding.UTF8
    return legacy_encoding(sample.decode("latin-1")) or TextEncoding.OTHER
