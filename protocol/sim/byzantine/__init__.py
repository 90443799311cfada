"""Byzantine members: whoever lies, each in a file of its own, by the name that scenarios use.

An actor has the keys of one validator and does with them what no honest program does. Most wrap the real node and
change what leaves it (`actor.Wrapper`), so everything but the lie is right; `restarter` and `twins` are honest programs
on machines that are not. Each counts its *deeds*, the report lists them, and a test demands every deed of every actor:
one that never acted has tested nothing. Within the fault bound the honest keep all promises, whatever an actor does;
the actor itself is held to nothing, and what it tells its own clients is worth nothing.

    silent_leader        never proposes                       C-3, C-13
    equivocating_leader  two proposals in one view            C-7, C-8, C-17
    stale_leader         proposes beside the newest block     C-4, C-6
    partial_leader       what it signs goes to some only      C-12, L-15
    double_voter         nullify and finalize in one view     C-10, C-17
    nullifier            nullifies every view                 C-9, C-11
    withholder           names batches and does not serve     L-13, L-15
    bad_batcher          wrong batches, wrong references      L-7, L-13, L-18
    hoarder              makes others keep what is of no use  L-13
    forger               certificates that nobody signed      C-19, L-4
    flooder              asks for everything, floods          C-18, C-20, L-31
    replayer             old messages again                   C-13, C-18, L-14
    restarter            crashes and returns for ever         C-5, C-10, L-24
    twins                two machines with one key            C-10, C-24
    false_executor       false results, false receipts        L-18, L-21, L-22
    garbage_syncer       answers sync with garbage            L-25, L-31, block sync
    snapshot_liar        lies to who joins by a snapshot      C-22, L-20, L-31
    revenant             votes with keys of ended epochs      C-21, C-23

A new actor: a file with an `Actor`, a line in `ACTORS`, a scenario. Deliberately absent: actors that work together;
a scenario with two of them within the bound comes close.

Public names: `ACTORS`, `Actor`, `Stage`.
"""

from protocol.sim.byzantine.actor import Actor, Stage
from protocol.sim.byzantine.bad_batcher import BAD_BATCHER
from protocol.sim.byzantine.double_voter import DOUBLE_VOTER
from protocol.sim.byzantine.equivocating_leader import EQUIVOCATING_LEADER
from protocol.sim.byzantine.false_executor import FALSE_EXECUTOR
from protocol.sim.byzantine.flooder import FLOODER
from protocol.sim.byzantine.forger import FORGER
from protocol.sim.byzantine.garbage_syncer import GARBAGE_SYNCER
from protocol.sim.byzantine.hoarder import HOARDER
from protocol.sim.byzantine.nullifier import NULLIFIER
from protocol.sim.byzantine.partial_leader import PARTIAL_LEADER
from protocol.sim.byzantine.replayer import REPLAYER
from protocol.sim.byzantine.restarter import RESTARTER
from protocol.sim.byzantine.revenant import REVENANT
from protocol.sim.byzantine.silent_leader import SILENT_LEADER
from protocol.sim.byzantine.snapshot_liar import SNAPSHOT_LIAR
from protocol.sim.byzantine.stale_leader import STALE_LEADER
from protocol.sim.byzantine.twins import TWINS
from protocol.sim.byzantine.withholder import WITHHOLDER

__all__ = ["ACTORS", "Actor", "Stage"]

ACTORS: dict[str, Actor] = {
    "silent_leader": SILENT_LEADER,
    "equivocating_leader": EQUIVOCATING_LEADER,
    "stale_leader": STALE_LEADER,
    "partial_leader": PARTIAL_LEADER,
    "double_voter": DOUBLE_VOTER,
    "nullifier": NULLIFIER,
    "withholder": WITHHOLDER,
    "bad_batcher": BAD_BATCHER,
    "hoarder": HOARDER,
    "forger": FORGER,
    "flooder": FLOODER,
    "replayer": REPLAYER,
    "restarter": RESTARTER,
    "twins": TWINS,
    "false_executor": FALSE_EXECUTOR,
    "garbage_syncer": GARBAGE_SYNCER,
    "revenant": REVENANT,
    "snapshot_liar": SNAPSHOT_LIAR,
}
"""Every actor by the name that scenarios use."""
