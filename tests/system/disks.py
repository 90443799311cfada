"""A disk of its own for one node, that can become full, and that can fail to write (root only).

It is an ext4 file system in a file that is larger than the memory disk it lies on, as a volume of a thin pool is. While
the pool has room it is an ordinary disk. `fill` takes the room that the file system shows: writes find the disk full
(ENOSPC). `exhaust` takes the pool's room: the file system believes that it has room, and what it then writes to new
blocks fails when it is synced (EIO), as on a disk that dies. `fail` lets the file system find itself damaged: from then
on it is read-only (EROFS).

All of it is mounted in a mount namespace that lives as long as a process that sleeps in it: nothing stays behind.
"""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.system.processes import NodeProcess
from tests.system.spaces import has_tools, namespace

TOOLS = ("mkfs.ext4", "e2fsck", "losetup", "fallocate", "findmnt")


@dataclass(frozen=True, slots=True)
class Disk:
    """place: where the pool is mounted. data: the node's directory, as the node sees it."""

    place: Path
    data: Path
    inside: tuple[str, ...]

    def fill(self) -> None:
        """No byte is free any more on the node's file system."""
        self.run(f"fallocate -l $(($(stat -f -c '%a * %S' {self.data}) - 1048576)) {self.data}/ballast")
        self.run(f"cat /dev/zero > {self.data}/ballast-rest 2>/dev/null || true")

    def drain(self) -> None:
        """There is room again."""
        self.run(f"rm -f {self.data}/ballast {self.data}/ballast-rest")

    def exhaust(self) -> None:
        """What the node's file system writes to new blocks fails."""
        self.run(f"cat /dev/zero > {self.place}/ballast 2>/dev/null || true")

    def fail(self) -> None:
        """The file system finds a fault in itself and becomes read-only, as most are mounted to."""
        self.run(f'echo 1 > "/sys/fs/ext4/$(basename "$(findmnt -no SOURCE {self.data})")/trigger_fs_error"')

    def repair(self) -> None:
        """The pool has room; the file system is checked and mounted anew, as an operator would."""
        self.run(f"rm -f {self.place}/ballast && umount {self.data}")
        self.run(f"e2fsck -f -y {self.place}/image >/dev/null 2>&1 || [ $? -lt 4 ]")
        self.run(f"mount -o loop {self.place}/image {self.data}")

    def run(self, script: str) -> None:
        done = subprocess.run([*self.inside, "sh", "-ec", script], check=False, capture_output=True, text=True)
        assert done.returncode == 0, f"{script}: {done.stderr}"


def can_have_disks() -> bool:
    """Whether this user may make such disks, and has the tools."""
    if not has_tools(*TOOLS) or not Path("/dev/loop-control").exists():
        return False
    script = "mount -t tmpfs -o size=4m none /mnt && truncate -s 8M /mnt/i && mkfs.ext4 -q /mnt/i && mkdir /mnt/d"
    probe = ["unshare", "--mount", "sh", "-ec", f"{script} && mount -o loop /mnt/i /mnt/d"]
    return subprocess.run(probe, check=False, capture_output=True).returncode == 0


@asynccontextmanager
async def disk_of(node: NodeProcess, place: Path, *, pool_mib: int, size_mib: int) -> AsyncIterator[Disk]:
    """Move a node's data, while it does not run, to a disk of its own; it runs there until the block ends."""
    async with namespace("mount") as (pid, inside):
        disk = Disk(place, node.directory / "data", inside)
        disk.run(
            f"mount --make-rprivate / && mkdir {place} && mount -t tmpfs -o size={pool_mib}m none {place} && cd {place}"
            f" && truncate -s {size_mib}M image && mkfs.ext4 -q -m 0 -J size=4 image && cp -a {disk.data} kept"
            f" && mount -o loop,errors=remount-ro image {disk.data} && cp -a kept/. {disk.data} && rm -r kept && sync"
        )
        node.prefix, node.mounted = inside, Path(f"/proc/{pid}/root{disk.data}")
        try:
            yield disk
        finally:
            node.destroy()
