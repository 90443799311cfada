"""Machines of their own for nodes: network namespaces joined by a switch where we may make them, else just addresses.

Cards and network file are carried between machines' directories by hand, nothing else.
"""

from __future__ import annotations

import subprocess
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.system.network import own_host
from tests.system.processes import papilio, papilio_done
from tests.system.spaces import has_tools, namespace

SUBNET = "10.77.0"


@dataclass(frozen=True, slots=True)
class Machine:
    """host: its address, as others reach it. prefix: of a command that runs on it."""

    name: str
    directory: Path
    host: str
    prefix: tuple[str, ...] = ()

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """A command of papilio there, in its directory."""
        return papilio(*arguments, cwd=self.directory, prefix=self.prefix)

    def done(self, *arguments: object) -> str:
        """One that has to succeed; what it printed."""
        return papilio_done(*arguments, cwd=self.directory, prefix=self.prefix)

    def link(self, state: str) -> None:
        """Plug its only line in (`up`) or out (`down`)."""
        _run(*self.prefix, "ip", "link", "set", "eth0", state)


def can_have_namespaces() -> bool:
    """Whether this user may make network namespaces, and has the tools."""
    if not has_tools("ip"):
        return False
    return subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True).returncode == 0


def on_addresses(directory: Path, names: list[str]) -> list[Machine]:
    """Machines that are only addresses of this one."""
    base = own_host().rpartition(".")[0]
    return [Machine(name, _folder(directory, name), f"{base}.{at}") for at, name in enumerate(names, 1)]


async def in_namespaces(stack: AsyncExitStack, directory: Path, names: list[str]) -> list[Machine]:
    """Machines with a network of their own, joined by a switch; gone when the stack closes."""
    _, switch = await stack.enter_async_context(namespace("net"))
    _run(*switch, "ip", "link", "add", "switch", "type", "bridge")
    _run(*switch, "ip", "link", "set", "switch", "up")
    machines = []
    for at, name in enumerate(names, 1):
        pid, inside = await stack.enter_async_context(namespace("net"))
        _run(*switch, "ip", "link", "add", f"to{at}", "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        _run(*switch, "ip", "link", "set", f"to{at}", "master", "switch", "up")
        _run(*inside, "ip", "address", "add", f"{SUBNET}.{at}/24", "dev", "eth0")
        _run(*inside, "ip", "link", "set", "lo", "up")
        _run(*inside, "ip", "link", "set", "eth0", "up")
        machines.append(Machine(name, _folder(directory, name), f"{SUBNET}.{at}", inside))
    return machines


def _folder(directory: Path, name: str) -> Path:
    (directory / name).mkdir()
    return directory / name


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
