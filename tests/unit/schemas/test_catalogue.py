"""Schemas and code lists: they load offline and agree with the names and enums of the code."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lxml import etree

from envelopes import element_names
from envelopes.model import BusinessDocType, StatusCode
from schemas import catalogue

_XS = "{http://www.w3.org/2001/XMLSchema}"


@pytest.mark.parametrize("kind", ["document", "status"])
def test_both_validators_load_the_schema_once(kind: catalogue.Kind) -> None:
    """The same object every time: nothing is read from disk in traffic."""
    assert catalogue.fast_schema(kind) is catalogue.fast_schema(kind)
    assert catalogue.explaining_schema(kind) is catalogue.explaining_schema(kind)


def _sequences(file: str) -> Iterator[list[str]]:
    tree = etree.parse(f"schemas/qcvn_102/{file}.xsd")
    for sequence in tree.iter(f"{_XS}sequence"):
        yield [str(child.get("name")) for child in sequence if child.tag == f"{_XS}element"]


@pytest.mark.parametrize("file", ["types", "document", "status"])
def test_the_schema_has_the_canonical_order(
    file: str, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    """Every sequence of the schema follows an order that element_names gives."""
    monkeypatch.chdir(pytestconfig.rootpath)
    orders = list(element_names.CHILDREN.values())
    for sequence in _sequences(file):
        assert any([tag for tag in order if tag in sequence] == sequence for order in orders), (
            sequence
        )


def test_every_simple_type_says_what_is_allowed(pytestconfig: pytest.Config) -> None:
    """Its documentation is what a clerk reads: Vietnamese, then English."""
    folder = pytestconfig.rootpath / "schemas" / "qcvn_102"
    for path in folder.glob("*.xsd"):
        for simple in etree.parse(str(path)).iter(f"{_XS}simpleType"):
            said = simple.findtext(f"{_XS}annotation/{_XS}documentation") or ""
            assert " / " in said, simple.get("name")


def test_code_lists_agree_with_the_model() -> None:
    """The lists and the enums name the same codes; reasons are demanded by 02 and 16 alone."""
    assert list(catalogue.status_codes()) == [code.value for code in StatusCode]
    assert list(catalogue.business_doc_types()) == [kind.value for kind in BusinessDocType]
    needing = [code for code, entry in catalogue.status_codes().items() if entry.needs_reason]
    assert needing == ["02", "16"]
    assert list(catalogue.priorities()) == ["0", "1", "2", "3", "4"]
    assert list(catalogue.document_types()) == [str(number) for number in range(1, 33)]
    for entry in catalogue.document_types().values():
        assert entry.in_language("vi") and entry.in_language("en")


def test_an_unknown_list_is_an_error() -> None:
    """A misspelled name is a bug and is said so."""
    with pytest.raises(KeyError):
        catalogue.code_list("no_such_list")
