"""What reading a package may cost at most.

The libraries' own defaults do not bound a hostile package (specification, reliability section 2),
so every bound is ours, is checked while bytes arrive, and is named in the finding that it causes.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Technical bounds of one reading; a field's name is the name of its setting.

    These protect the service. What a regulation allows (50 MB per file, for one) is a rule and is
    checked elsewhere, on what was read.
    """

    #: Elements inside one another. Real packages need 9.
    max_depth: int = 64
    #: Elements outside the attachments; a circular to 5 000 recipients has about 45 000.
    max_elements: int = 50_000
    #: Attachments of one package.
    max_attachments: int = 1000
    #: Attributes of one element.
    max_attributes: int = 64
    #: Bytes of one tag, comment or processing instruction.
    max_token_bytes: int = MIB
    #: Characters of text in one element, base64 content apart.
    max_text_chars: int = MIB
    #: Bytes of the whole package without the base64 content.
    max_skeleton_bytes: int = 8 * MIB
    #: Bytes of one attachment, decoded and unwrapped.
    max_attachment_bytes: int = 512 * MIB
    #: Bytes of all attachments together, decoded and unwrapped.
    max_total_bytes: int = 1024 * MIB
    #: Bytes that one compressed byte may grow to ...
    max_zip_ratio: int = 100
    #: ... once an attachment has given this many bytes.
    zip_ratio_from_bytes: int = MIB
    #: Findings of one package; what goes beyond is counted in the last one.
    max_findings: int = 200


def setting_name(field: str) -> str:
    """How `field` of `ReadLimits` is called in the service's settings and in findings."""
    return f"read_limits.{field}"
