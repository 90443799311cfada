"""What the store raises, by what the caller does next.

* `StoreFailed`: a write or sync failed, or the store is poisoned by one that did. Nothing was promised since
  the last successful sync; the node stops before it signs anything more (L-24). Never retried: after a failed
  sync the kernel may have dropped the pages and say yes the next time.
* `DiskFull`: no room, or the disk is read-only. Nothing was lost or promised; the same call may succeed later (L-28).
* `SegmentDamaged`: one finalized block cannot be read. Others can; the node goes on and never serves this one (L-25).
* `StateDamaged`: the state cannot be read. It is derived: the node stops, and it is made anew from the blocks.

What an operator has to put right (a lock held, a newer format) is `protocol.errors.OperatorFault`.
"""

from __future__ import annotations

from protocol import errors


class StoreFailed(errors.PapilioError):
    """A write or sync failed; the store takes nothing more."""

    code = errors.STORE_FAILED


class DiskFull(errors.PapilioError):
    """The disk takes nothing now (ENOSPC, EDQUOT, EROFS): nothing was promised, and the call may be repeated."""

    code = errors.DISK_FULL


class StateDamaged(StoreFailed):
    """What LMDB reads is no state: `papilio store repair` makes it anew from the blocks (L-26)."""

    code = errors.STATE_DAMAGED


class SegmentDamaged(errors.PapilioError):
    """The block of `height` does not check, in `file` at byte `offset` (0 where unknown)."""

    code = errors.SEGMENT_DAMAGED

    def __init__(self, height: int, file: str, offset: int, words: str) -> None:
        super().__init__(f"block {height}, {file} at byte {offset}: {words}")
        self.height = height
        self.file = file
        self.offset = offset
