"""`papilio status`: how a node is, and its network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from daemon.cli.output import emit, json_option
from daemon.cli.remote import bytes_text, client_of, duration_text, heard_by, node_options, safe
from daemon.config.texts import NETWORK_ID


@click.command()
@node_options
@json_option
def status(nodes: tuple[str, ...], timeout_seconds: float) -> None:
    """Show how a node is: its heights, peers, pool, disk, and its network.

    \b
    Example:
        papilio status --node http://127.0.0.1:8100
    """
    with client_of(nodes) as client:
        network = client.network(timeout_seconds=timeout_seconds)
        node = client.node(timeout_seconds=timeout_seconds)
    emit({"node": dict(node), "network": dict(network.raw)}, lambda: _lines(node, network.raw, network.network_id))


def _lines(node: object, network: Mapping[str, Any], network_id: bytes) -> None:
    from protocol.proofs.explain import utc_text

    assert isinstance(node, dict), "a node's status is an object"
    free = node["disk"]["free_bytes"]
    sync = _sync(node["sync"])
    role = "votes" if node["voting"] else "follows, does not vote"
    memory, unheard = memory_text(node), unheard_text(node, network)
    final = utc_text(node["final_time_ms"]) if node["final_height"] else "no block yet"
    rows = {
        "network": f"{safe(network['name'])}, {NETWORK_ID.format(network_id)}",
        "member": safe(node["member"] or "-"),
        "node": f"{node['node_key']}, papilio {safe(node['version'])}, up {duration_text(node['uptime_ms'])}",
        "state": f"{'ready' if node['ready'] else 'not ready'}, {role}, {sync}",
        **({"memory": memory} if memory else {}),
        "final": f"height {node['final_height']}, {final}",
        "executed": f"height {node['executed_height']}, {node['log_size']} receipts",
        **({"kept": f"blocks from {node['first_height']} on"} if node.get("first_height", 1) > 1 else {}),
        "state root": node["state_root"],
        "provable": f"up to height {node['covered_height']}",
        "consensus": f"epoch {node['epoch']}, view {node['view']}",
        "peers": f"{len(node['peers'])} connected, {len(node['hears'])} heard directly",
        **({"not heard": unheard} if unheard else {}),
        "pool": f"{node['pool_envelopes']} envelopes, {bytes_text(node['pool_bytes'])}",
        "disk": "not known" if free is None else f"{bytes_text(free)} free",
    }
    for row, text in rows.items():
        print(f"{row:<10} {text}")


def _sync(sync: dict[str, Any]) -> str:
    """How block sync is."""
    if not sync["syncing"]:
        return "up to date"
    left = sync.get("left_seconds")
    words = "" if left is None else f", about {duration_text(1000 * left)} left"
    return f"catching up to height {sync['target_height']}{words}"


def unheard_text(node: Mapping[str, Any], network: Mapping[str, Any]) -> str:
    """Whose validators this node does not hear itself, and whether a quorum is left without them; empty: it hears all.

    Where not everyone has a channel to everyone, others pass on what these say (L-14), so it is no alarm by itself.
    """
    heard = heard_by(node)
    silent = [validator for validator in network["validators"] if validator["node_key"] not in heard]
    if not silent:
        return ""
    names = ", ".join(safe(validator["member"]) for validator in silent)
    left = network["total_power"] - sum(validator["power"] for validator in silent)
    if left >= network["quorum_power"]:
        return names
    return (
        f"{names}; without them {left} of {network['total_power']} power is left, and nothing becomes final with less"
        f" than {network['quorum_power']}, unless other nodes pass on what they say"
    )


def memory_text(node: Mapping[str, Any]) -> str:
    """What a validator without a certain memory does, and whom it waits for (C-24); empty if it remembers.

    The phase stands in front by its name: the handbook is read by that.
    """
    memory = node.get("memory", {})
    phase = memory.get("phase", "")
    words = {
        "asking": "asks the others what it has signed, as at every start",
        "amnesiac": "does not know what it has signed; asks the others",
        "probation": f"votes again above view {memory.get('vote_floor')}, when no second node with its key is seen",
    }.get(phase, "")
    waiting = ", ".join(safe(name) for name in memory.get("waiting_for", []))
    if not words:
        return ""
    return f"{phase}: {words}; waits for {waiting}" if waiting else f"{phase}: {words}"
