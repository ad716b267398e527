"""Every check by the id of its rule, in the order in which findings are shown."""

from __future__ import annotations

from collections.abc import Mapping

from envelopes.rules import files, header, issue_time, secrecy, signatures, signed_files
from envelopes.rules.outcome import Check

#: The secrets come first: when they trip, nothing else is told.
CHECKS: Mapping[str, Check] = {
    "HEAD-SECRET": secrecy.check_secret,
    "ID-SENDER": header.check_sender,
    "ID-RECIPIENT": header.check_recipients,
    "HEAD-REQUIRED": header.check_urgency,
    "HEAD-REPLY": header.check_reply,
    "HEAD-PAPER": header.check_paper,
    "TIME-ISSUE": issue_time.check_issue,
    "FILE-NAME": files.check_name,
    "FILE-SIZE": files.check_size,
    "FILE-FORMAT": files.check_format,
    "FILE-CHARSET": files.check_charset,
    "FILE-COMPLETE": files.check_complete,
    "FILE-MALWARE": files.check_malware,
    "FILE-SIGNED-PDF": signed_files.check_signed_pdf,
    "FILE-UNSIGNED-PDF": signed_files.check_unsigned,
    "SIG-INTEGRITY": signatures.check_integrity,
    "SIG-TRUST": signatures.check_trust,
    "SIG-REVOKED-NOW": signatures.check_suspended,
    "SIG-BOTH": signed_files.check_both,
    "SIG-APPENDIX": signed_files.check_appendices,
    "SIG-OWNER": signatures.check_owner,
    "SIG-TERM": signatures.check_term,
}

#: Rules of parts A-C that the reader itself judges; a profile grades them all the same.
JUDGED_BY_READER = ("ID-DOCUMENT",)
