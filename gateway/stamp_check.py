"""What the time stamps of seals prove: for the log (`gateway.log_check`) and for evidence."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from adapters.timestamps import NoStamp, Stamp, judge_of, read_stamp
from adapters.trust import TrustFolder, TrustMaterial
from adapters.trust.certificates import load_certificates
from adapters.trust.judge import Judge

#: A seal may be made so long after what its stamp says: clocks differ a little.
EARLIEST = timedelta(minutes=1)
#: In the trust folder: anchors that are trusted for stamps and in no profile of packages.
PLACE = "time-stamping"


def folder_judge(trust: Path) -> Judge:
    """Judges by the trust folder: its anchors of every profile, and those of `PLACE`.

    Blocks on the disk; raises OSError.
    """
    return judge_of(TrustFolder(trust).material(PLACE))


def named_judge(files: tuple[Path, ...]) -> Judge:
    """Judges by the certificates in these files. Raises OSError and `NotACertificate`."""
    found = [der for file in files for der in load_certificates(file.read_bytes())]
    return judge_of(TrustMaterial(anchors=tuple(found)))


async def check_stamp(
    token: bytes, signed: bytes, sealed_at: datetime, judge: Judge
) -> Stamp | NoStamp:
    """Hold the stamp of a seal against the seal; `NoStamp` says what is wrong."""
    stamp = await read_stamp(token, signed, judge)
    if isinstance(stamp, NoStamp):
        return stamp
    if stamp.trusted is False:
        return NoStamp(f"by {stamp.authority}, who is not trusted: {stamp.why}")
    if sealed_at - stamp.at > EARLIEST:
        return NoStamp(f"of {when(stamp.at)}, but the seal says {when(sealed_at)}")
    return stamp


def when(at: datetime) -> str:
    """A time as it is printed."""
    return at.isoformat(timespec="seconds")
