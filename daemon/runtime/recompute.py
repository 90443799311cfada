"""A node's history executed again, from its disk and genesis alone: does everything follow from everything?

    python -m daemon.runtime.recompute network.toml NODE/data [--height H]

Reads the segments without taking the lock, so a node may run on them, and believes nothing but genesis. For each block:
it stands on the one below, its batches are those that it references, every signature in them verifies, its certificate
(if it has one of its own) is a quorum's; then it is executed into memory, where every root that a later header states
is compared with what came out (L-22). Last, the programmes' books are audited, and the state that the node itself keeps
on disk is compared at the same height.

It is what `papilio demo`, benchmarks and tests judge nodes by, and independent of the state store and of the workers.
Blocks above the last certificate are final by a descendant that is not here yet; `certified_height` says up to where
this disk alone proves it.

Deliberately absent: histories that do not fit into memory, and repair.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.config.network import load_network
from daemon.store.directory import Onlooker, open_to_read
from protocol.apps.points.audit import audit
from protocol.apps.registry import rules_at
from protocol.codec import decode
from protocol.consensus.statements import Certificate
from protocol.consensus.validators import Validators
from protocol.crypto.signing import verify_message
from protocol.errors import OperatorFault, PapilioError
from protocol.ledger.batch import batch_signature_items, parse_batch
from protocol.ledger.closings import closes, read_closing
from protocol.ledger.execution import execute_block
from protocol.ledger.genesis import FIRST_EPOCH, Genesis, ValidatorSet, network_id, validator_set
from protocol.ledger.genesis_state import genesis_state
from protocol.ledger.index import read_roots
from protocol.ledger.memory import MemoryTables
from protocol.ledger.records import Block, Executed, Header
from protocol.proofs.finality import ProofRefused, check_certificate


@dataclass(slots=True)
class Recomputed:
    """What came out at the height of `executed`.

    certified_height: the last block with a certificate of its own. codes: final transactions by the code of their
    receipt. skipped: envelopes in batches that left nothing, by code (L-7). stored: what the node's own state store has
    at this height, None if it is behind. tables: the whole state. wrong: what does not agree, in words; empty if all is
    well.
    """

    executed: Executed
    tables: MemoryTables
    certified_height: int = 0
    blocks: int = 0
    signatures: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    stored: Executed | None = None
    wrong: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For programs, without the tables."""
        return {
            "height": self.executed.height,
            "state_root": self.executed.state_root.hex(),
            "transactions": self.executed.log_size,
            "log_root": self.executed.log_root.hex(),
            "certified_height": self.certified_height,
            "signatures": self.signatures,
            "codes": dict(sorted(self.codes.items())),
            "skipped": dict(sorted(self.skipped.items())),
            "stored_state_root": None if self.stored is None else self.stored.state_root.hex(),
            "wrong": self.wrong,
        }


def recompute_directory(data_directory: Path, genesis: Genesis, height: int | None = None) -> Recomputed:
    """As `recompute`, of a node's data directory; its stored state is compared. Raises OperatorFault, PapilioError."""
    onlooker = open_to_read(data_directory, network_id(genesis))
    try:
        last = onlooker.segments.last_height
        if height is not None and last < height:
            raise OperatorFault(f"{data_directory} holds blocks up to {last}, not {height}")
        found = recompute(genesis, onlooker.segments.read, last if height is None else height)
        _compare_stored(onlooker, found)
        return found
    finally:
        onlooker.close()


def recompute(genesis: Genesis, read: Callable[[int], bytes | None], height: int) -> Recomputed:
    """Execute blocks 1 to `height`, given encoded by `read`, from genesis.

    Raises PapilioError (BrokenInvariant, Diverged, Refused, Malformed, SegmentDamaged) at the first block that cannot
    be; what can be, but is wrong, stands in `wrong`.
    """
    first = genesis_state(genesis, rules_at(genesis, 0))
    found = Recomputed(first.executed, MemoryTables())
    found.tables.apply(first.writes)
    voters, epoch = _voters(validator_set(genesis)), FIRST_EPOCH
    network = network_id(genesis)
    for at in range(1, height + 1):
        data = read(at)
        if data is None:
            raise OperatorFault(f"block {at} is not on this disk")
        block = decode(Block, data)
        header = decode(Header, block.header)
        _check_signatures(network, block, found)
        _check_finality(network, voters, header, block.finalization, found)
        if header.epoch != epoch:
            found.wrong.append(f"block {at} is of epoch {header.epoch}, not {epoch}")
        _execute(network, genesis, header, block, found)
        closing = read_closing(found.tables, epoch) if closes(header) else None
        if closing is not None:
            voters, epoch = _voters(closing.validators), epoch + 1
    found.wrong += [f"programme {one.programme.hex()}: {words}" for one in audit(found.tables) for words in one.wrong]
    return found


def _voters(validators: ValidatorSet) -> Validators:
    entries = validators.validators
    return Validators(tuple(entry.voting_key for entry in entries), tuple(entry.power for entry in entries))


def _execute(network: bytes, genesis: Genesis, header: Header, block: Block, found: Recomputed) -> None:
    rules = rules_at(genesis, header.height)
    done = execute_block(network, genesis.parameters, rules, found.tables, header, block.batches)
    found.tables.apply(done.writes)
    found.executed = done.executed
    found.blocks += 1
    for outcome in done.outcomes:
        (found.codes if outcome.final else found.skipped)[outcome.code] += 1


def _check_signatures(network: bytes, block: Block, found: Recomputed) -> None:
    for data in block.batches:
        for public, message, signature in batch_signature_items(parse_batch(data, network)):
            found.signatures += 1
            if not verify_message(public, message, signature):
                found.wrong.append(f"a signature of {public.hex()} in a final batch is bad")


def _check_finality(
    network: bytes, voters: Validators, header: Header, finalization: bytes | None, found: Recomputed
) -> None:
    if finalization is None:
        return
    try:
        check_certificate(network, voters, decode(Certificate, finalization), header)
    except ProofRefused as refused:
        found.wrong.append(f"the certificate of block {header.height}: {refused.words}")
    else:
        found.certified_height = header.height


def _compare_stored(onlooker: Onlooker, found: Recomputed) -> None:
    with onlooker.state.reader() as reader:
        roots = read_roots(reader, found.executed.height)
    found.stored = None if roots is None else roots.executed
    if found.stored is not None and found.stored != found.executed:
        found.wrong.append(f"the state store has {found.stored} at height {found.executed.height}")


def main(arguments: list[str] | None = None) -> int:
    """Print what came out as one JSON value. Exit code 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m daemon.runtime.recompute", description="execute a history again")
    parser.add_argument("network", type=Path, help="network.toml")
    parser.add_argument("data_directory", type=Path, help="a node's data directory; the node may be running")
    parser.add_argument("--height", type=int, help="up to this height; by default all that is there")
    options = parser.parse_args(arguments)
    try:
        genesis = load_network(options.network).genesis
        found = recompute_directory(options.data_directory, genesis, options.height)
    except PapilioError as fault:
        sys.stdout.write(json.dumps({"wrong": [f"{fault.code}: {fault.words}"]}) + "\n")
        return 1
    sys.stdout.write(json.dumps(found.as_json()) + "\n")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
