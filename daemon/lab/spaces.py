"""Machines of their own for nodes, as far as the kernel gives them: networks and disks (root only).

**Networks** (`networks`). The lab's own thread moves to a new network namespace, which is the switch: a bridge, and the
proxy behind its address. Each node gets a namespace with one line to the bridge. Nothing is made in the machine's own
network, nothing has a name, and everything is gone with the processes that are in it.

**Disks** (`disk`). A node gets a mount namespace in which its data directory is a memory disk. The room on it can be
taken away, without using it up, by making the file system smaller.

A namespace lives as long as a process that sleeps in it. The sleeper is killed by the kernel when the lab's thread
ends, so nothing is left behind, however the lab ends.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from protocol.errors import OperatorFault

CLONE_NEWNET: Final = 0x40000000
SUBNET: Final = "10.77.0"
SWITCH: Final = f"{SUBNET}.254"
"""Where the proxy listens."""
TOOLS: Final = ("ip", "unshare", "nsenter", "setpriv")
DISK_BYTES: Final = 4 << 30
"""Of a node's memory disk: a bound, not what it takes."""
FULL_BYTES: Final = 256 << 20
"""Less than a node wants free, more than it holds: nothing that it has is lost when the room is taken away."""
ENTER_SECONDS: Final = 10.0

Kind = Literal["net", "mount"]


def why_no_networks() -> str:
    """Why nodes cannot get networks of their own here, in words; empty if they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"network namespaces need the programs {', '.join(missing)}"
    probe = ["unshare", "--net", "ip", "link", "add", "probe", "type", "bridge"]
    done = subprocess.run(probe, check=False, capture_output=True, text=True)  # noqa: S603 - fixed words
    if done.returncode != 0:
        return f"this kernel gives no network namespace with a bridge: {done.stderr.strip()}"
    return ""


@contextmanager
def networks(count: int) -> Iterator[list[tuple[str, tuple[str, ...]]]]:
    """While the block runs this thread is on the switch; for each node its address, and the prefix of its command.

    Raises OperatorFault if this machine does not give them.
    """
    why = why_no_networks()
    if why:
        raise OperatorFault(why)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    with ExitStack() as stack:
        stack.callback(os.close, home)
        _libc("unshare", CLONE_NEWNET)
        stack.callback(_libc, "setns", home, CLONE_NEWNET)
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", "switch", "type", "bridge")
        _run("ip", "address", "add", f"{SWITCH}/24", "dev", "switch")
        _run("ip", "link", "set", "switch", "up")
        yield [_plug_in(stack, index) for index in range(count)]


def _plug_in(stack: ExitStack, index: int) -> tuple[str, tuple[str, ...]]:
    pid = stack.enter_context(_sleeper("net"))
    inside = ("nsenter", "--target", str(pid), "--net", "--")
    line, address = f"to{index}", f"{SUBNET}.{index + 1}"
    _run("ip", "link", "add", line, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    _run("ip", "link", "set", line, "master", "switch", "up")
    _run(*inside, "ip", "address", "add", f"{address}/24", "dev", "eth0")
    _run(*inside, "ip", "link", "set", "lo", "up")
    _run(*inside, "ip", "link", "set", "eth0", "up")
    return address, inside


@dataclass(frozen=True, slots=True)
class OwnDisk:
    """A node's memory disk. inside: prefix of commands that see it. seen: where the directory is seen from here."""

    inside: tuple[str, ...]
    data: Path
    seen: Path

    def fill(self, full: bool) -> None:
        """Take the room away, or give it back."""
        size = FULL_BYTES if full else DISK_BYTES
        _run(*self.inside, "mount", "-o", f"remount,size={size}", str(self.data))


@contextmanager
def disk(data: Path) -> Iterator[OwnDisk]:
    """Move a data directory, on which no node runs, to a memory disk; it is moved back when the block ends."""
    with _sleeper("mount") as pid:
        inside = ("nsenter", "--target", str(pid), "--mount", "--")
        seen = Path(f"/proc/{pid}/root{data}")
        _run(*inside, "mount", "--make-rprivate", "/")
        shutil.move(data, kept := data.with_name("data-kept"))
        data.mkdir(mode=0o700)
        _run(*inside, "mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "none", str(data))
        shutil.copytree(kept, seen, dirs_exist_ok=True)
        shutil.rmtree(kept)
        try:
            yield OwnDisk(inside, data, seen)
        finally:
            shutil.copytree(seen, data, dirs_exist_ok=True)


@contextmanager
def _sleeper(kind: Kind) -> Iterator[int]:
    """A process that sleeps in a new namespace; its id."""
    command = ["setpriv", "--pdeathsig", "KILL", "unshare", f"--{kind}", "sleep", "infinity"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd="/", process_group=0)  # noqa: S603 - fixed words
    try:
        _await_entered(process.pid, {"net": "net", "mount": "mnt"}[kind])
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _await_entered(pid: int, name: str) -> None:
    """Return when the process is in a namespace that is not ours."""
    until = time.monotonic() + ENTER_SECONDS
    while time.monotonic() < until:
        try:
            if os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/thread-self/ns/{name}"):
                return
        except OSError:
            break
        time.sleep(0.005)
    raise OperatorFault(f"this machine does not give a namespace ({name})")


def _libc(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        raise OperatorFault(f"{name}: {os.strerror(ctypes.get_errno())}")


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - fixed words
    if done.returncode != 0:
        raise OperatorFault(f"{' '.join(command)}: {done.stderr.strip()}")
