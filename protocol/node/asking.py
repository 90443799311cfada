"""Asking: what a validator in doubt asks the others, and what it answers them (C-24; `memory.py` judges the answers).

A *challenge* goes to every peer that comes, and while the memory is silent to all, each half retry interval. It names
the process (its *life*), the question's round, and above which view statements are wanted. Those who do not hear the
asker get it passed on (L-14). A *recollection* answers it, signed: the view and what entered that, whether it counts,
what the asker's key signed above the view that was named, what else is known of processes with that key. One question
is answered at most four times in a retry interval.

Signatures are checked by workers before anything is believed: the answer's own, its certificate's, and each statement's
that is said to be by our key. What an answer shows goes to the machine like any vote; what it says of views and lives
goes to `Memory.answers`.

Deliberately absent: what follows from answers.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from protocol.codec import decode, encode
from protocol.consensus import memory as recall
from protocol.consensus.certificates import certificate_items, vote_well_formed, well_formed
from protocol.consensus.counting import item
from protocol.consensus.inputs import VoteReceived
from protocol.consensus.statements import Certificate, Vote
from protocol.crypto.contexts import Context
from protocol.errors import Malformed
from protocol.node.interface import Priority
from protocol.node.memory import Answer, lives_of
from protocol.wire.memory import (
    STATEMENTS_SHOWN_MAX,
    Challenge,
    ChallengeMessage,
    Recollection,
    RecollectionMessage,
    restore_message,
)

if TYPE_CHECKING:
    from protocol.node.body import Body

ANSWERED_MAX: Final = 16
"""Questions of one asker that are remembered as answered: those of its last eight processes. Each asker has a share of
its own, so who asks under ever new lives pushes out nothing but its own questions."""


# -- Questions --------------------------------------------------------------------------------------


def greet(body: Body, peer: bytes) -> None:
    """A channel is there: say which process has our key; ask, if there is something to ask."""
    message = _challenge(body)
    if message is not None:
        body.send((peer,), Priority.CONSENSUS, message)


def ask_again(body: Body) -> None:
    """While the memory is silent, each half retry interval."""
    due_ms = body.memory.asked_ms + max(1, body.parameters.retry_interval_ms // 2)
    if body.memory.silent and not body.halted and body.now.monotonic_ms >= due_ms:
        _ask(body)


def _challenge(body: Body) -> bytes | None:
    """This node's challenge, encoded; None for an observer, and where nothing is asked at all."""
    core, memory = body.machine.core, body.memory
    if core.me is None or core.key is None or not body.setup.life:
        return None
    challenge = Challenge(body.setup.life, memory.round, core.instance.epoch, core.vote_floor, memory.silent, core.me)
    signature = core.key.sign(Context.RESTORE, body.network_id, encode(challenge))
    return encode(ChallengeMessage(challenge, signature))


def _ask(body: Body) -> None:
    message = _challenge(body)
    if message is not None:
        body.memory.asked_ms = body.now.monotonic_ms
        body.send(body.everyone(), Priority.CONSENSUS, message)


def challenged(body: Body, message: ChallengeMessage, data: bytes, peer: bytes) -> None:
    """A challenge came: have its signature checked."""
    challenge = message.challenge
    if challenge.signer >= len(body.roster.node_keys) or challenge.epoch != body.machine.core.instance.epoch:
        return
    if challenge.signer == body.machine.core.me:
        return
    key = body.roster.validators.keys[challenge.signer]
    body.check_message(
        ("challenge", message, data, peer), ((key, restore_message(body.network_id, challenge), message.signature),)
    )


def challenge_checked(body: Body, message: ChallengeMessage, data: bytes, peer: bytes, good: bool) -> None:
    """Pass it on to those who do not hear the asker (L-14), and answer it."""
    challenge = message.challenge
    if not good:
        body.charge(peer, "a challenge with a bad signature")
        return
    origin = body.roster.node_keys[challenge.signer]
    if peer == origin:
        _heard_life(body, challenge.signer, peer, challenge.life)
    if challenge.asks:
        repeated, due = _noted(body, challenge)
        if peer != origin or repeated:
            # In a mesh that starts, channels come one after the other, and nobody reports yet whom it hears: passed on
            # at once, every question would go from everyone to everyone, and every answer too.
            body.pass_on(data, origin, peer)
        if due:
            _answer(body, challenge, origin)


def _noted(body: Body, challenge: Challenge) -> tuple[bool, bool]:
    """Whether a question has been asked for nearly a retry interval, and whether it is answered now."""
    answered, now = body.memory.answered.setdefault(challenge.signer, OrderedDict()), body.now.monotonic_ms
    quarter_ms = max(1, body.parameters.retry_interval_ms // 4)
    mark = (challenge.life, challenge.round)
    first_ms, answered_ms = answered.pop(mark, (now, now - quarter_ms))
    due = now - answered_ms >= quarter_ms
    answered[mark] = (first_ms, now if due else answered_ms)
    while len(answered) > ANSWERED_MAX:
        answered.popitem(last=False)
    return now - first_ms >= 3 * quarter_ms, due


def _answer(body: Body, challenge: Challenge, asker: bytes) -> None:
    core, memory, now = body.machine.core, body.memory, body.now.monotonic_ms
    if core.me is None or core.key is None:
        return
    entry, lives = recall.entry_to_show(core), lives_of(body, challenge.signer)
    certain = not memory.silent and core.view > core.vote_floor and (entry is not None or core.view == 1)
    recollection = Recollection(
        challenge.life,
        challenge.round,
        challenge.signer,
        core.instance.epoch,
        core.view,
        b"" if entry is None else encode(entry),
        certain,
        lives.view_of_others(challenge.life),
        lives.standing(challenge.life, now),
        recall.statements_by(core, challenge.signer, challenge.above_view, STATEMENTS_SHOWN_MAX),
        core.me,
    )
    signature = core.key.sign(Context.RESTORE, body.network_id, encode(recollection))
    to = (asker,) if asker in body.neighbours.peers else body.everyone()
    body.send(to, Priority.CONSENSUS, encode(RecollectionMessage(recollection, signature)))


def _heard_life(body: Body, signer: int, peer: bytes, life: bytes) -> None:
    """A process said its life on its own channel."""
    if body.memory.life_of.get(peer) != life:
        body.memory.life_of[peer] = life
        lives_of(body, signer).said(life, body.now.monotonic_ms)


# -- Answers ----------------------------------------------------------------------------------------


def recollected(body: Body, message: RecollectionMessage, data: bytes, peer: bytes) -> None:
    """An answer came, to us or to be passed on: have what it says checked."""
    found, core = message.recollection, body.machine.core
    validators = body.roster.validators
    known = max(found.signer, found.asker) < len(validators.keys) and found.epoch == core.instance.epoch
    if not known or found.signer == core.me:
        return
    key = validators.keys[found.signer]
    items = [(key, restore_message(body.network_id, found), message.signature)]
    certificate: Certificate | None = None
    if found.asker == core.me:
        if not body.memory.silent or found.life != body.setup.life:
            return
        certificate = _entry_of(body, found)
        if certificate is not None:
            items.extend(certificate_items(body.network_id, validators, certificate))
        items.extend(item(core, vote) for vote in found.statements if _is_own(body, vote))
    body.check_message(("recollection", message, certificate, data, peer), tuple(items))


def _entry_of(body: Body, found: Recollection) -> Certificate | None:
    """The certificate in an answer. Raises Malformed where it proves less than the view that is named."""
    if not found.entered_by:
        if found.counts and found.view != 1:
            raise Malformed("entered_by", "an answer without the certificate of its view")
        return None
    certificate = decode(Certificate, found.entered_by)
    proves = well_formed(body.roster.validators, certificate, body.machine.core.instance.epoch)
    if not proves or recall.proven_view(certificate) < found.view:
        raise Malformed("entered_by", "a certificate that does not prove its view")
    return certificate


def _is_own(body: Body, vote: Vote) -> bool:
    return vote.signer == body.machine.core.me and vote_well_formed(
        body.roster.validators, vote, body.machine.core.instance.epoch
    )


def recollection_checked(
    body: Body,
    message: RecollectionMessage,
    certificate: Certificate | None,
    data: bytes,
    peer: bytes,
    good: tuple[bool, ...],
) -> None:
    """Take an answer to our question; pass on one to another's."""
    found, core = message.recollection, body.machine.core
    count = 1 + (0 if certificate is None else len(certificate.signatures))
    if not all(good[:count]):
        body.charge(peer, "an answer to a challenge with a bad signature")
        return
    if found.asker != core.me:
        asker = body.roster.node_keys[found.asker]
        origin = body.roster.node_keys[found.signer]
        if asker in body.neighbours.peers:
            body.send((asker,), Priority.CONSENSUS, data)
        else:
            body.pass_on(data, origin, peer)
        return
    own = [vote for vote in found.statements if _is_own(body, vote)]
    for vote, genuine in zip(own, good[count:], strict=True):
        if genuine:
            body.inbox.append(VoteReceived(vote, peer, True))
    if body.memory.silent and found.round == body.memory.round:
        view = recall.proven_view(certificate) if found.counts else 0
        before = body.memory.answers.get(found.signer)
        # Views do not go back: an earlier answer that somebody passes on late takes nothing from a later one.
        views = view, found.view, found.shown_view
        if before is not None:
            views = max(view, before.view), max(found.view, before.said_view), max(found.shown_view, before.shown_view)
        answer = Answer(*views, found.standing)
        body.memory.answers[found.signer] = answer
        body.memory.stale = True
