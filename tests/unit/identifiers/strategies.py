"""Hypothesis strategies for agency codes of both systems."""

from __future__ import annotations

from hypothesis import strategies as st

from identifiers.organ_id import OrganId

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#: Few values each, so that equal and related codes meet often.
LEVEL_ONE = st.sampled_from(["H41", "H53", "G22"])
TWO = st.sampled_from(["00", "01", "13", "A5"])
THREE = st.sampled_from(["000", "001", "0A7", "113"])

full_old_texts = st.builds(lambda v, z, y, m: f"{v}.{z}.{y}.{m}", THREE, TWO, TWO, LEVEL_ONE)
short_old_texts = st.one_of(
    st.builds(lambda z, y, m: f"{z}.{y}.{m}", TWO, TWO, LEVEL_ONE),
    st.builds(lambda y, m: f"{y}.{m}", TWO, LEVEL_ONE),
)
old_texts = st.one_of(full_old_texts, short_old_texts)
new_texts = st.builds(
    lambda top, rest: ".".join([top, *rest]),
    st.one_of(LEVEL_ONE, st.sampled_from(["0100109106", "VN1"])),
    st.lists(st.sampled_from(["01", "13", "05", "A5", "0013"]), max_size=4),
)
code_texts = st.one_of(old_texts, new_texts)
organ_ids = code_texts.map(OrganId.of)
