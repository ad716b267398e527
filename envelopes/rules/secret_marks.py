"""The marks of secrecy (Mật, Tối mật, Tuyệt mật) recognised in what people write.

A mark is told from the same letters in ordinary words: "mật" is part of many (bảo mật, mật độ,
mật ong, bí mật), so it counts alone, in brackets, set apart at either end, after a label ("độ
mật:"), or as the quality of a document ("công văn mật"). "Tối mật" and "Tuyệt mật" have no other
meaning and count everywhere but in texts *about* the protection of secrets.

Deceptions undone first: decomposed letters, full-width forms, letters of other scripts that look
alike, invisible characters, letters set apart ("M Ậ T"), TCVN3 and VNI spellings.
"""

from __future__ import annotations

import re
import unicodedata

SECRET, TOP_SECRET, ABSOLUTE_SECRET = "Mật", "Tối mật", "Tuyệt mật"

#: Letters of other scripts that look like ours, after casefolding.
_LOOKALIKES = str.maketrans("мтоеаиіуṃ", "mtoeaiiym") | str.maketrans("μτοιευ", "mtoieu")
#: One letter or syllable as its old spellings have it.
_SPELLINGS = {
    "mật": ("mật", "mât", "mậ̣t", "mët", "maät", "mat"),
    "tối": ("tối", "toi", "tèi", "toái"),
    "tuyệt": ("tuyệt", "tuyêt", "tuyet", "tuyöt", "tuyeät", "tuỵêt"),
}
_WORD_OF = {spelling: word for word, many in _SPELLINGS.items() for spelling in many}
#: Without accents a syllable may be many words: such spellings count only where set apart.
_BARE = frozenset({"mat", "toi", "tuyet"})
_TOKEN = re.compile(r"[^\W\d_]+")
#: Letters with a single space, dot, hyphen or underscore between them.
_SPACED = re.compile(r"(?<![^\W_])(?:[^\W\d_][ ._\-*]){2,11}[^\W\d_](?![^\W_])")
_SPACED_WORDS = frozenset({"mật", "mat", "tốimật", "toimat", "tuyệtmật", "tuyetmat"})
_JOINED = {
    "tốimật": TOP_SECRET,
    "toimat": TOP_SECRET,
    "tuyệtmật": ABSOLUTE_SECRET,
    "tuyetmat": ABSOLUTE_SECRET,
}
#: How many characters around a mark are looked at.
_NEAR = 64
#: The words of a line that is a mark.
_LINES = {
    ("mật",): SECRET,
    ("tối", "mật"): TOP_SECRET,
    ("tuyệt", "mật"): ABSOLUTE_SECRET,
}
_LABEL = re.compile(r"\W*(?:mức )?độ(?: mật)?\s*:")
_LONGEST_LINE = 200
#: Letters of the longest mark in old spellings ("tuyeät maät"), with its label before it.
_MOST_LETTERS = 36
#: Lines of one file that are looked at closely; each takes some hundredths of a millisecond.
_MOST_LINES = 10_000
_OTHER = r"(?:[^\w\n]|[\d_])*+"
_SHORT_LINE = re.compile(rf"^(?:{_OTHER}[^\W\d_]){{3,12}}{_OTHER}$", re.MULTILINE)
_LABELLED_LINE = re.compile(r"^[^:：\n]{2,40}[:：][^\n]{3,160}$", re.MULTILINE)
#: What a mark may be set apart by.
_OPENING, _CLOSING = "([{<«“\"'*", ")]}>»”\"'*"
_APART = frozenset(":;-–—|/.,*_=~•·")
#: Words before "mật" after which it is a label's value or a document's quality.
_LABELS = ("độ mật", "mức độ mật", "mức độ", "cấp độ mật", "độ", "dấu mật", "dấu độ mật")
_CARRIERS = (
    "công văn",
    "văn bản",
    "tài liệu",
    "báo cáo",
    "kế hoạch",
    "quyết định",
    "tờ trình",
    "thông báo",
    "công điện",
    "đề án",
    "phương án",
    "hồ sơ",
    "chỉ thị",
    "biên bản",
)
#: Texts about the protection of secrets may name the degrees without bearing them.
_ABOUT_SECRECY = ("bí mật nhà nước", "xác định độ mật", "đóng dấu độ mật", "giải mật", "các độ mật")


def normal(text: str) -> str:
    """`text` in small letters with every known deception undone."""
    plain = unicodedata.normalize("NFKC", text)
    plain = "".join(char for char in plain if unicodedata.category(char) not in ("Cf", "Cc"))
    # Lookalikes may carry accents of their own: take them apart, replace, put together again.
    apart = unicodedata.normalize("NFD", plain.casefold()).translate(_LOOKALIKES)
    return _SPACED.sub(_together, " ".join(unicodedata.normalize("NFC", apart).split()))


def _together(match: re.Match[str]) -> str:
    joined = re.sub(r"[ ._\-*]", "", match[0])
    return joined if joined in _SPACED_WORDS else match[0]


def in_text(text: str) -> str:
    """The mark that a subject, a content or another free text bears; "" for none."""
    return _first_mark(text, bare_apart=text.isupper()) if _may_hold(text) else ""


def in_code(text: str) -> str:
    """The mark in a number, notation or id, where every part stands for itself; "" for none."""
    return _parts_mark(text, accented_only=False) if _may_hold(text) else ""


def in_file_name(name: str) -> str:
    """The mark in a file's name; without accents "mat" alone counts only in brackets."""
    if not _may_hold(name):
        return ""
    stem = name.rpartition(".")[0] or name
    return _parts_mark(stem, accented_only=True) or in_text(re.sub(r"[_\-.]+", " ", stem))


def in_page(text: str) -> str:
    """The mark that stands on a line of its own, or after its label, as stamped on a document.

    Without a label it begins with a capital: the last line of a paragraph may well be "mật."
    """
    search = LinesSearch()
    search.feed(text)
    return search.mark


class LinesSearch:
    """Looks for a mark in the lines of texts that come one after the other (see `in_page`).

    Few letters or a label make a line worth a close look. `over` says that there were more of them
    than any document has: the rest was not looked at.
    """

    def __init__(self) -> None:
        self.mark = ""
        self._left = _MOST_LINES

    @property
    def over(self) -> bool:
        """Whether it was given up; also after a mark: there is nothing left to find."""
        return bool(self.mark) or self._left <= 0

    def feed(self, text: str) -> None:
        """Look at the lines of `text`."""
        if self.over or not _may_hold(text):
            return
        lines = "\n".join(text.splitlines())
        for pattern in (_SHORT_LINE, _LABELLED_LINE):
            for match in pattern.finditer(lines):
                line = match[0]
                if not _may_be_mark(line):
                    continue
                self._left -= 1
                self.mark = _line_mark(" ".join(line.split())[:_LONGEST_LINE])
                if self.over:
                    return


def _may_be_mark(line: str) -> bool:
    """A quick look: few letters, an m and a t in any of their shapes among them."""
    if sum(map(str.isalpha, line)) > _MOST_LETTERS:
        return False
    bare = unicodedata.normalize("NFKD", line.casefold())
    return any(one in bare for one in "mмμ") and any(one in bare for one in "tтτ")


def _line_mark(line: str) -> str:
    plain = normal(line)
    label = _LABEL.match(plain)
    first = next((char for char in line if char.isalpha()), "")
    if label is None and not first.isupper():
        return ""
    words = tuple(
        _WORD_OF.get(one, one) for one in _TOKEN.findall(plain[label.end() :] if label else plain)
    )
    if len(words) == 1 and words[0] in _JOINED:
        return _JOINED[words[0]]
    return _LINES.get(words, "")


def _may_hold(text: str) -> bool:
    """A quick look that spares most texts the rest: an m and a t in any of their shapes."""
    lowered = text.casefold()
    return any(char in lowered for char in "mмμｍ𝐦ṃ") or not lowered.isascii()


def _parts_mark(text: str, *, accented_only: bool) -> str:
    tokens = _TOKEN.findall(normal(text).replace("_", " "))
    for number, token in enumerate(tokens):
        if token in _JOINED:
            return _JOINED[token]
        if _WORD_OF.get(token) != "mật":
            continue
        before = _WORD_OF.get(tokens[number - 1], "") if number else ""
        if before == "tối":
            return TOP_SECRET
        if before == "tuyệt":
            return ABSOLUTE_SECRET
        if not accented_only:
            return SECRET
    return ""


def _first_mark(text: str, *, bare_apart: bool) -> str:
    plain = normal(text)
    about = any(topic in plain for topic in _ABOUT_SECRECY)
    tokens = list(_TOKEN.finditer(plain))
    shouted = _shouted(text)
    for number, token in enumerate(tokens):
        word = token[0]
        if word in _JOINED and not about:
            return _JOINED[word]
        if _WORD_OF.get(word) != "mật":
            continue
        start, mark, bare = token.start(), SECRET, word in _BARE
        before = tokens[number - 1] if number else None
        degree = _WORD_OF.get(before[0], "") if before else ""
        if before and degree in ("tối", "tuyệt") and _adjoin(plain, before.end(), start):
            mark = TOP_SECRET if degree == "tối" else ABSOLUTE_SECRET
            start, bare = before.start(), bare or before[0] in _BARE
        apart = _set_apart(plain, start, token.end(), bracketed_only=bare and not bare_apart)
        if apart:
            return mark
        if mark != SECRET and not about and not bare:
            return mark
        if mark == SECRET and not bare and _qualifies(plain, start, token.end(), about, shouted):
            return mark
    return ""


def _around(plain: str, start: int, end: int) -> tuple[str, str]:
    """What stands before and after, as far as it matters: a long text must not be copied."""
    before = plain[max(0, start - _NEAR) : start]
    return before.rstrip(), plain[end : end + _NEAR].lstrip()


def _adjoin(plain: str, end: int, start: int) -> bool:
    """Whether only blanks and light separators stand between two words."""
    return not plain[end:start].strip(" _-.*")


def _set_apart(plain: str, start: int, end: int, *, bracketed_only: bool) -> bool:
    """Whether the mark is all there is, in brackets, or set apart at the text's begin or end."""
    before, after = _around(plain, start, end)
    if before[-1:] in tuple(_OPENING) and after[:1] in tuple(_CLOSING):
        return bool(before and after)
    if not before.strip(_OPENING + "".join(_APART)) and not after.strip(
        _CLOSING + "".join(_APART) + "! "
    ):
        return True
    if bracketed_only:
        return False
    at_begin = not before.strip(_OPENING + "* ") and after[:1] in _APART - {","}
    at_end = not after.strip(_CLOSING + ".*! ") and before[-1:] in _APART - {"/", ","}
    return at_begin or at_end


def _qualifies(plain: str, start: int, end: int, about: bool, shouted: bool) -> bool:
    """Whether "mật" is the value of a label or says what kind of document this is."""
    before, after = _around(plain, start, end)
    if before.endswith(":") and any(before[:-1].rstrip().endswith(name) for name in _LABELS):
        return True
    if about or shouted:
        return shouted and not about
    ends = not after or after[0] in "().,;:-–—"
    opening = before.split()[:1] and any(before == carrier for carrier in _CARRIERS)
    return bool(opening) and (ends or after.startswith(("số ", "v/v", "về ")))


def _shouted(text: str) -> bool:
    """Whether MẬT stands in capitals, not as part of a compound, in a text of small letters."""
    composed = unicodedata.normalize("NFC", text)
    if composed.isupper():
        return False
    words = re.findall(r"[^\W\d_]+", composed)
    for number, word in enumerate(words):
        if word == "MẬT":
            near = words[max(0, number - 1) : number] + words[number + 1 : number + 2]
            # A capital before it, other than the text's first: somebody's name.
            named = number > 1 and words[number - 1][0].isupper()
            if not named and not any(other.isupper() and len(other) > 1 for other in near):
                return True
    return False
