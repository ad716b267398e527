"""Text as clerks and their spreadsheets write it: what cannot be seen is removed, what can is kept.

Agency lists and packages carry zero-width spaces, no-break spaces and decomposed accents that no
reader sees and every comparison trips over. The functions here are the only place that decides
what happens to them.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

#: Longest piece of foreign text that a sentence or a `found` quotes.
QUOTE_LIMIT = 80


@dataclass(frozen=True, slots=True)
class Bilingual:
    """One sentence to a clerk in Vietnamese and English."""

    vi: str
    en: str

    def in_language(self, lang: str) -> str:
        """The sentence in `lang` ("vi" or "en"; anything else reads as "en")."""
        return self.vi if lang == "vi" else self.en


def remove_invisible(text: str) -> str:
    """`text` without format characters (Unicode Cf: zero-width spaces, BOM, direction marks)."""
    if _is_plain(text):
        return text
    return "".join(char for char in text if unicodedata.category(char) != "Cf")


def has_control(text: str) -> bool:
    """Whether `text` holds a control character, a line separator or half a surrogate pair."""
    if _is_plain(text):
        return False
    return any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in text)


def clean(text: str) -> str:
    """`text` for showing and comparing: NFC, trimmed, nothing invisible, odd spaces made plain.

    Control characters inside become spaces (no database and no XML takes them); spaces between
    words are not collapsed, and letters are never touched. Idempotent.
    """
    if not _is_plain(text):
        visible = remove_invisible(text)
        text = "".join(" " if _is_odd_space(char) else char for char in visible)
    return unicodedata.normalize("NFC", text).strip()


def hidden_characters(text: str) -> tuple[str, ...]:
    """What `clean` removes from or replaces in `text`, as ``U+200B``: sorted, once each."""
    hidden = {char for char in text if unicodedata.category(char) == "Cf" or _is_odd_space(char)}
    return tuple(f"U+{ord(char):04X}" for char in sorted(hidden))


def fold(text: str) -> str:
    """`text` as a search sees it: no accents, no case, đ as d, single spaces. Idempotent.

    Words that differ only in accents fold to the same text: this is for finding, never for
    telling two agencies apart.
    """
    lowered = clean(text).casefold()
    decomposed = unicodedata.normalize("NFD", lowered)
    bare = "".join(char for char in decomposed if unicodedata.category(char) != "Mn")
    folded = " ".join(bare.replace("đ", "d").split())
    # A few letters of other scripts need a second round; Vietnamese never does.
    return folded if folded == text or folded.isascii() else fold(folded)


def quote(text: str) -> str:
    """`text` short enough to stand in a sentence, its control characters made visible."""
    shown = "".join(ascii(char)[1:-1] if has_control(char) else char for char in text)
    return shown if len(shown) <= QUOTE_LIMIT else shown[: QUOTE_LIMIT - 1] + "…"


def _is_plain(text: str) -> bool:
    """Whether nothing in `text` is of the categories that the functions here look for.

    Printable means for Python: no Cc, Cf, Cs, Zl, Zp, and of Zs the plain space alone. Nearly all
    text is, and is passed on without a look at each character.
    """
    return text.isprintable()


def _is_odd_space(char: str) -> bool:
    return char != " " and unicodedata.category(char) in ("Zs", "Zl", "Zp", "Cc", "Cs")
