"""Memory: what this validator may have signed, when its disk does not say, and whether a second one has its key (C-24).

    asking ──── a quorum answered, or all in view 1, or 3Δ with a channel passed ──────────► known
       │ a peer shows what is not remembered                                              ▲
       ▼                                                                                  │
    amnesiac ── a quorum answered: vote floor, durable ──► probation ── answered again ───┘
       └─────── the operator commands it: vote floor, durable ────────────────────────────┘

*Asking* is how every start begins. A node whose journal is not whole begins as *amnesiac*. Only a *known* memory votes
and gives answers that count. The floor of an amnesiac is the highest answered view + 1 (`protocol.consensus.memory`
has the argument). In *probation* it looks on until the others are some views above the floor, then asks anew: a second
process with its key would have voted there by then, and the answers show it.

Two processes with one key are noticed in three ways. A statement above the floor that this process did not make, shown
by anybody. The *life*: a process draws 16 random bytes and says them on each channel; a peer sees one life take the
place of another that was alive, and that one come back. And a view: whoever is known to have been in a later view than
its journal knows of has an older journal than it had.

What needs a signature is believed at once. What anybody may claim (a life, a view) is believed when more power claims
it than may lie. The one who came later gives way: the older life is not told, and goes on.

Deliberately absent: how much of the disk was lost (whoever opens it says so), random bytes (a setup brings them), and
the messages: `asking.py` asks, answers, and puts what is answered here.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from protocol.codec import encode
from protocol.consensus import memory as recall
from protocol.consensus.counting import in_reach
from protocol.consensus.statements import Certificate, Vote, VoteKind
from protocol.errors import BROKEN_INVARIANT
from protocol.node.interface import JournalKind
from protocol.node.lives import Lives
from protocol.node.records import VoteFloor

if TYPE_CHECKING:
    from protocol.node.body import Body, Journaled, Roster

PROBATION_VIEWS: Final = 2
"""Views that the others complete above the floor before an amnesiac asks for the last time."""
START_DELTAS: Final = 3
"""At a start with a whole journal, so many Δ with a channel are waited for a quorum of answers."""
FORCED_RETRIES: Final = 16
"""Under the operator's command, answers are gathered for so many retry intervals with a channel."""


class Phase(Enum):
    """How much this validator knows of what it signed."""

    KNOWN = "known"
    ASKING = "asking"
    AMNESIAC = "amnesiac"
    PROBATION = "probation"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one validator answered, as far as it was checked."""

    view: int
    """That it proved; 0: its answer does not count."""
    said_view: int
    """That it says it is in."""
    shown_view: int
    standing: int


@dataclass(slots=True)
class Memory:
    """See the essay."""

    phase: Phase = Phase.KNOWN
    forced: bool = False
    hole: bool = False
    """The journal is older than what else is on the disk."""
    adopting: bool = False
    """Statements by our key that peers show are taken as ours, whatever the view: by command, until the first vote."""
    round: int = 1
    start_view: int = 0
    since_ms: int | None = None
    """Since when there has been a way to some validator, by a channel or an observer; None: there is none."""
    asked_ms: int = -1
    answers: dict[int, Answer] = field(default_factory=dict)
    restored: VoteFloor | None = None
    bound_view: int | None = None
    """Amnesiac: nothing that an earlier process signed is of a higher view, by a quorum's answers to this one."""
    lives: dict[int, Lives] = field(default_factory=dict)
    life_of: dict[bytes, bytes] = field(default_factory=dict)
    """Channel -> the life that it said."""
    answered: dict[int, OrderedDict[tuple[bytes, int], tuple[int, int]]] = field(default_factory=dict)
    """Asker -> (life, round) -> (when it first came, when it was answered last)."""
    stale: bool = False
    """Something was learned that `look` has not seen."""
    lost: bool = False
    """The journal was not whole at the start, and nothing has restored it since."""
    asked: bool = False
    """This process has known, as a validator, what it signed."""
    went_on: bool = False
    """A block that does not close the epoch was finalized at or above the floor that was restored in it."""

    @property
    def silent(self) -> bool:
        """Whether nothing may be signed."""
        return self.phase is not Phase.KNOWN

    @property
    def forgetful(self) -> bool:
        """Whether something may have been signed that is not remembered: no batches are sealed either."""
        return self.phase in (Phase.AMNESIAC, Phase.PROBATION)


# -- The start --------------------------------------------------------------------------------------


def recall_disk(body: Body, *, amnesiac: bool, forced: bool, restored: VoteFloor | None, remembered: Journaled) -> None:
    """Judge the disk: which phase the start begins with. `Machine.restore` was called.

    remembered: what journal and segments hold of the present epoch. A statement by our own key in a certificate, above
    the vote floor and not among the votes, means that the journal is older than the rest. A floor that was restored in
    an ended epoch is none for this one.
    """
    memory, core = body.memory, body.machine.core
    memory.restored = restored
    memory.lost = amnesiac and (restored is None or restored.epoch < body.epoch)
    if core.me is None:
        return
    for certificate in remembered.certificates:
        if certificate.kind == VoteKind.FINALIZE:
            went_on(body, certificate)
    hole = _has_hole(body, remembered)
    if memory.lost or hole or (restored is not None and restored.epoch < body.epoch):
        memory.phase, memory.forced, memory.restored, memory.hole = Phase.AMNESIAC, forced, None, hole
    else:
        _begin_asking(body)


def _begin_asking(body: Body) -> None:
    memory = body.memory
    if body.setup.life and len(body.machine.core.instance.validators.keys) > 1:
        memory.phase = Phase.ASKING
    else:
        memory.phase, memory.asked = Phase.KNOWN, True


def _has_hole(body: Body, remembered: Journaled) -> bool:
    """Whether a certificate holds a statement of ours, above the floor, that the journal does not have."""
    core = body.machine.core
    if core.me is None:
        return False
    mine = {(vote.kind, vote.view, vote.proposal) for vote in remembered.votes}
    mine |= {(int(VoteKind.NOTARIZE), m.proposal.view, m.proposal) for m in remembered.proposals}
    shown = [own for own in (recall.statement_in(c, core.me) for c in remembered.certificates) if own is not None]
    return any(own.view > core.vote_floor and (own.kind, own.view, own.proposal) not in mine for own in shown)


# -- Epochs -----------------------------------------------------------------------------------------


def went_on(body: Body, finalization: Certificate) -> None:
    """A block that closes nothing is final: whether the epoch goes on above the floor that was restored in it."""
    restored = body.memory.restored
    if restored is not None and finalization.epoch == restored.epoch and finalization.view >= restored.view:
        body.memory.went_on = True


def next_epoch(body: Body, former: Roster, remembered: Journaled) -> None:
    """C-24 across epochs: the machine of the next epoch stands in its place, and is not started.

    In doubt amnesiac: a floor of the ended epoch says nothing of this one, unless that epoch went on above it. Durable
    before the record that the epoch has begun.
    """
    memory, core = body.memory, body.machine.core
    was, restored = memory.phase, memory.restored
    safe = restored is None or restored.epoch >= body.epoch or (memory.went_on and was is Phase.KNOWN)
    lost = memory.lost or memory.forgetful or not safe
    places = {
        former.validators.keys.index(key): at
        for at, key in enumerate(body.roster.validators.keys)
        if key in former.keys
    }
    memory.lives = {places[at]: lives for at, lives in memory.lives.items() if at in places}
    for lives in memory.lives.values():
        lives.views.clear()
    memory.answers.clear()
    memory.answered.clear()
    memory.round, memory.start_view, memory.asked_ms, memory.went_on, memory.stale = 1, 1, -1, False, False
    memory.adopting = memory.forced = False
    memory.bound_view = None
    memory.since_ms = None
    _note_channels(body)
    if core.me is None:
        memory.lost, memory.phase, memory.restored = lost, Phase.KNOWN, None if lost else restored
        if lost:
            body.persist(JournalKind.FORGOTTEN, encode(VoteFloor(body.epoch, 0)))
        return
    if lost or _has_hole(body, remembered):
        memory.lost = True
        _find_hole(body, "what was signed in this epoch may be forgotten")
        return
    if restored is not None and restored.epoch < body.epoch:
        memory.restored = VoteFloor(body.epoch, 0)
        body.persist(JournalKind.RESTORED, encode(memory.restored))
    if was is Phase.ASKING or not memory.asked:
        _begin_asking(body)


def entered(body: Body) -> None:
    """The machine has entered the view that the disk implies: of a later epoch too, if this process began in it before.

    What others have seen of earlier processes with this key is compared with that view.
    """
    body.memory.start_view = body.machine.core.view
    if body.memory.phase is not Phase.ASKING:
        body.machine.end_asking()


def begin(body: Body) -> None:
    """A start: what the disk says of the memory."""
    memory = body.memory
    entered(body)
    if memory.hole:
        _find_hole(body, "a certificate on the disk has a statement that the journal does not have: it is older")
    elif memory.phase is Phase.AMNESIAC:
        _tell_amnesia(body, "the journal is absent, foreign or damaged")


def _find_hole(body: Body, why: str) -> None:
    """Durable too: who once saw a hole in its memory has it at the next start, whether or not it is shown again."""
    memory = body.memory
    memory.phase, memory.restored = Phase.AMNESIAC, None
    body.machine.end_asking()
    body.persist(JournalKind.FORGOTTEN, encode(VoteFloor(body.machine.core.instance.epoch, memory.start_view)))
    _tell_amnesia(body, why)


def _tell_amnesia(body: Body, why: str) -> None:
    then = "it follows, and signs nothing until a quorum of the others has answered"
    if body.memory.forced:
        then = "by the operator's command it gathers what the others show, and then votes"
    body.note("amnesiac", words=f"{why}: {then}")


# -- Channels ---------------------------------------------------------------------------------------


def peer_up(body: Body, peer: bytes) -> None:
    """A channel is there; which process it leads to is not known yet."""
    body.memory.life_of.pop(peer, None)
    _note_channels(body)


def peer_down(body: Body, peer: bytes, *, replaced: bool) -> None:
    """A channel is gone; what it showed of its node stays."""
    _note_channels(body, without=peer)
    memory, signer = body.memory, body.roster.signer_of.get(peer)
    life = memory.life_of.pop(peer, None)
    neighbour, view = body.neighbours.peers.get(peer), body.machine.core.peers.get(peer)
    if signer is None or neighbour is None:
        return
    seen = 0 if view is None else view.view
    lives_of(body, signer).gone(life, seen, neighbour.heard_ms, body.now.monotonic_ms, replaced=replaced)


def _note_channels(body: Body, without: bytes | None = None) -> None:
    """Note since when there is a way to validators: a channel, or one to an observer that hears some (L-14)."""
    there = any(peer != without for peer in body.neighbours.carriers(body.setup.node_key))
    if not there:
        body.memory.since_ms = None
    elif body.memory.since_ms is None:
        body.memory.since_ms = body.now.monotonic_ms


def lives_of(body: Body, signer: int) -> Lives:
    """What is known of the processes with this validator's key."""
    return body.memory.lives.setdefault(signer, Lives(body.parameters.retry_interval_ms))


def own_shown(body: Body, vote: Vote) -> None:
    """A statement by our key, above the floor, that we do not remember.

    Before this process knows what an earlier one can have signed it may be that one's: then it is ours, durably. To be
    bound by what our key signed only forbids more (C-10), and it stops no later start as a twin's.
    """
    memory = body.memory
    if memory.phase is Phase.ASKING:
        _find_hole(body, f"others show a statement of view {vote.view} that the journal does not have")
    # Farther ahead than votes are kept, the others are ahead too, and the floor will be above it.
    near = memory.bound_view is None and in_reach(body.machine.core, vote.view)
    if memory.adopting or (memory.phase is Phase.AMNESIAC and (memory.forced or near)):
        if body.machine.adopt(vote):
            body.persist(JournalKind.VOTE, encode(vote))
    elif memory.phase is not Phase.AMNESIAC or (memory.bound_view is not None and vote.view > memory.bound_view):
        words = f"another node signs with this node's voting key (view {vote.view}): a twin"
        body.halt(BROKEN_INVARIANT, f"{words}{_OR_ITS_OWN if _came_back(body) else ''}")


_OR_ITS_OWN: Final = (
    "; or, only if validators were made to vote by force-vote, what this one signed itself before it lost its memory:"
    " 'After force-vote' in the handbook"
)


def _came_back(body: Body) -> bool:
    """Whether it is without a memory, or came back without one in this epoch: what it signed before it can't tell."""
    return body.memory.restored is not None or body.memory.forgetful


# -- Going on ---------------------------------------------------------------------------------------


def look(body: Body) -> None:
    """Each half retry interval, and after each answer: what follows from what is known."""
    memory = body.memory
    memory.stale = False
    if not memory.silent or body.halted:
        return
    _note_channels(body)  # whom an observer hears, it says later
    suspects, twins = _claims(body, 1), _claims(body, 2)
    tolerated = recall.tolerated(body.roster.validators)
    if twins > tolerated:
        words = "another process runs with this node's keys, and was there before: a twin"
        body.halt(BROKEN_INVARIANT, words)
        return
    if memory.phase is Phase.ASKING:
        _look_asking(body, suspects > tolerated)
    elif memory.phase is Phase.AMNESIAC:
        _look_amnesiac(body, suspects > tolerated)
    elif memory.phase is Phase.PROBATION:
        _look_probation(body, suspects > tolerated)


def _claims(body: Body, least: int) -> int:
    """Power that says of this life that it has (1: may have) a twin."""
    answers = body.memory.answers.items()
    return recall.power_of(body.roster.validators, [signer for signer, a in answers if a.standing >= least])


def _answered_views(body: Body) -> dict[int, int]:
    return {signer: answer.view for signer, answer in body.memory.answers.items() if answer.view}


def _waited(body: Body, ms: int) -> bool:
    since = body.memory.since_ms
    return since is not None and body.now.monotonic_ms - since >= ms


def _look_asking(body: Body, suspect: bool) -> None:
    memory, validators, me = body.memory, body.roster.validators, body.machine.core.me
    assert me is not None, "only validators ask"
    later = [signer for signer, answer in memory.answers.items() if answer.shown_view > memory.start_view]
    if recall.power_of(validators, later) > recall.tolerated(validators):
        _find_hole(body, "others know this validator to have been in a later view than its journal does")
        return
    enough = recall.power_of(validators, _answered_views(body)) >= recall.may_be_all(validators, me)
    heard = recall.power_of(validators, memory.answers) >= validators.quorum - validators.powers[me]
    late = _waited(body, START_DELTAS * body.parameters.delta_ms)
    if not suspect and (enough or (heard and late) or _unbegun(body)):
        _know(body)


def _unbegun(body: Body) -> bool:
    """Whether a network starts for the first time: nothing was ever final or signed here, and all others are in view 1.

    Where all start at once nobody's answer counts. Later the 3Δ are needed: for an older copy of a disk, to learn from
    blocks what it lacks; for a second process with this key, so that peers that have just restarted hear the first.
    """
    answers, others = body.memory.answers, len(body.roster.validators.keys) - 1
    first = body.memory.start_view == 1 and not body.machine.core.own and body.chain.final.height == 0
    return first and len(answers) == others and all(answer.said_view <= 1 for answer in answers.values())


def _look_amnesiac(body: Body, suspect: bool) -> None:
    memory, core = body.memory, body.machine.core
    assert core.me is not None, "only validators ask"
    views = _answered_views(body)
    floor = recall.vote_floor(views, body.roster.validators, core.me)
    if memory.bound_view is None:
        memory.bound_view = floor  # also while it is suspect: a statement above is a living process's
    if suspect:
        return
    waited = _waited(body, FORCED_RETRIES * body.parameters.retry_interval_ms)
    # An observer's word that it hears validators is not enough for this: one has to be there, or to have answered.
    if floor is None and memory.forced and waited and (memory.answers or body.neighbours.validators()):
        floor = max([core.view, *views.values()]) - 1
        memory.adopting = True
    if floor is None or memory.restored is not None:
        return
    memory.restored = VoteFloor(core.instance.epoch, floor)
    body.persist(JournalKind.RESTORED, encode(memory.restored), memory.restored)


def floor_durable(body: Body, floor: VoteFloor) -> None:
    """The vote floor is on the disk; one of an ended epoch is moot."""
    memory = body.memory
    if floor.epoch != body.epoch or memory.restored != floor:
        return
    memory.lost = False
    body.vote_floor = max(body.vote_floor, (floor.epoch, floor.view))
    body.machine.raise_floor(floor.view)
    body.note("memory_restored", view=floor.view, forced=memory.adopting)
    if memory.adopting:
        _know(body)
        return
    memory.phase = Phase.PROBATION
    memory.answers.clear()


def _look_probation(body: Body, suspect: bool) -> None:
    memory, core = body.memory, body.machine.core
    if core.view <= core.vote_floor + PROBATION_VIEWS:
        return
    if memory.round == 1:
        memory.round = 2
        memory.answers.clear()
        memory.asked_ms = -1
        return
    power = recall.power_of(body.roster.validators, _answered_views(body))
    if power >= body.roster.validators.quorum and not suspect:
        _know(body)


def _know(body: Body) -> None:
    memory, core = body.memory, body.machine.core
    if memory.forgetful:
        body.note("memory_known", view=core.view, vote_floor=core.vote_floor)
    memory.phase, memory.asked = Phase.KNOWN, True
    body.machine.end_asking()
    memory.answers.clear()


def missing(body: Body) -> tuple[bytes, ...]:
    """Voting keys of those whose answer is waited for."""
    memory, core = body.memory, body.machine.core
    if not memory.silent or core.me is None:
        return ()
    answered = _answered_views(body)
    if recall.power_of(body.roster.validators, answered) >= body.roster.validators.quorum:
        return ()
    keys = body.roster.validators.keys
    return tuple(key for signer, key in enumerate(keys) if signer != core.me and signer not in answered)
