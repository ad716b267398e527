"""Which schema and which code list serves edXML; each is loaded once, offline."""

from __future__ import annotations

import threading
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lxml import etree

if TYPE_CHECKING:
    import xmlschema

#: What a package can be; each has a schema of its own.
Kind = Literal["document", "status"]

_FOLDER = Path(__file__).parent
_QCVN_102 = _FOLDER / "qcvn_102"
#: libxml2 makes its table of built-in types with the first schema, unprotected, and lxml lets
#: other threads run meanwhile: two first schemas at once leave a broken table, or no process.
_building = threading.Lock()


@dataclass(frozen=True, slots=True)
class CodeEntry:
    """One line of a code list: the code as the wire writes it and its names."""

    code: str
    vi: str
    en: str
    #: Status codes only: whether the Description is mandatory (Decision 28/2018/QĐ-TTg).
    needs_reason: bool = False

    def in_language(self, lang: str) -> str:
        """The name in `lang` ("vi" or "en"; anything else reads as "en")."""
        return self.vi if lang == "vi" else self.en


@cache
def fast_schema(kind: Kind) -> etree.XMLSchema:
    """The schema of `kind` for libxml2: a quick yes or no for every package."""
    with _building:
        return etree.XMLSchema(file=str(_QCVN_102 / f"{kind}.xsd"))


@cache
def explaining_schema(kind: Kind) -> xmlschema.XMLSchema:
    """The same schema for xmlschema, which explains a failure path by path.

    Built once from our own files; it never follows a location that a package names (reliability
    2.1: the module-level functions of the library would fetch it over the network).
    """
    import xmlschema  # a tenth of a second, and needed only once a package is wrong

    with _building:
        return xmlschema.XMLSchema(
            str(_QCVN_102 / f"{kind}.xsd"),
            base_url=str(_QCVN_102),
            allow="sandbox",
            defuse="always",
            use_location_hints=False,
        )


def load_schemas() -> None:
    """Build what every package needs now, so that the first ones do not wait for it."""
    fast_schema("document")
    fast_schema("status")


@cache
def code_list(name: str) -> Mapping[str, CodeEntry]:
    """The code list `name` of code_lists.toml, by code. Raises KeyError for an unknown name."""
    return {
        code: CodeEntry(code, entry["vi"], entry["en"], entry.get("needs_reason", False))
        for entry in _code_lists()[name]
        for code in [str(entry.get("code", entry.get("number")))]
    }


def status_codes() -> Mapping[str, CodeEntry]:
    """The statuses of Decision 28/2018/QĐ-TTg."""
    return code_list("status_codes")


def document_types() -> Mapping[str, CodeEntry]:
    """The administrative document types, by their number in the list."""
    return code_list("document_types")


def priorities() -> Mapping[str, CodeEntry]:
    """The degrees of urgency, ``0`` to ``4``."""
    return code_list("priorities")


def business_doc_types() -> Mapping[str, CodeEntry]:
    """What a document package does: new, revocation, update, replacement."""
    return code_list("business_doc_types")


def transport_states() -> Mapping[str, CodeEntry]:
    """The gateway's own states of a delivery, in words for people."""
    return code_list("transport_states")


@cache
def _code_lists() -> dict[str, list[dict[str, Any]]]:
    with (_FOLDER / "code_lists.toml").open("rb") as file:
        return tomllib.load(file)


@cache
def profile_names() -> frozenset[str]:
    """The rule profiles that come with the gateway (``schemas/profiles/*.toml``)."""
    return frozenset(path.stem for path in (_FOLDER / "profiles").glob("*.toml"))


def profile_text(name: str) -> str:
    """The TOML of the profile `name`; `envelopes.rules.profile` reads it. Raises KeyError."""
    if name not in profile_names():
        raise KeyError(name)
    return (_FOLDER / "profiles" / f"{name}.toml").read_text("utf-8")
