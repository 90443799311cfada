"""Views: entering one, its timers, and forgetting old ones (C-1, C-3, C-15, C-18)."""

from __future__ import annotations

from protocol import limits
from protocol.consensus import voting
from protocol.consensus.core import Core, Phase
from protocol.consensus.inputs import Effect, Entered, Timer
from protocol.consensus.statements import Certificate, VoteKind


def enter(core: Core, view: int, by: Certificate | None, now_ms: int) -> list[Effect]:
    """C-1, C-3: begin `view`."""
    if by is not None and by.proposal is not None and by.proposal == core.proposal and core.offered_ms is not None:
        core.round_ms = now_ms - core.offered_ms
    core.view, core.entered_by, core.entered_ms = view, by, now_ms
    core.proposal, core.judging = None, False
    for timer in (Timer.LEADER, Timer.VIEW, Timer.IDLE):
        core.timers.pop(timer, None)
    prune(core)
    effects: list[Effect] = [Entered(view, core.leader, by)]
    return effects + resume(core, now_ms)


def resume(core: Core, now_ms: int) -> list[Effect]:
    """Take up the current view where what was signed in it leaves it."""
    if not core.may_sign(core.view):
        core.phase = Phase.FOLLOW
        return []
    own = core.has_signed(core.view)
    if own.nullified is not None:
        core.phase = Phase.NULLIFIED
        return []
    core.phase = Phase.WAIT if own.notarized is None and own.finalized is None else Phase.VOTED
    core.proposal = own.proposal
    _set_view_timers(core, now_ms)
    heed_nullifies(core, now_ms)
    if core.phase is not Phase.WAIT:
        return []
    early = core.early.pop(core.view, None)
    if early is not None and not core.leading:
        return voting.take_proposal(core, early, now_ms)
    return voting.lead(core, now_ms)


def _set_view_timers(core: Core, now_ms: int) -> None:
    tempo = core.tempo
    inactive = not core.leading and core.activity.inactive(core.rotation, core.view, now_ms, tempo.delta_ms)
    idle = 0 if core.work or inactive else tempo.idle_interval_ms
    leader = 0 if inactive else tempo.scaled(tempo.leader_ms, core.view, core.final_view)
    whole = 0 if inactive else tempo.scaled(tempo.view_ms, core.view, core.final_view)
    if core.phase is Phase.WAIT:
        core.timers[Timer.LEADER] = now_ms + leader + idle
    core.timers[Timer.VIEW] = now_ms + whole + idle


def heed_nullifies(core: Core, now_ms: int) -> None:
    """C-11: a nullify by the leader fires the timers at once. C-15: nullifies of blocking power are work.

    Looked at on entering too: they may have come before this node did.
    """
    votes = core.keeper.views.get(core.view)
    if votes is None:
        return
    if core.leader in votes.slots[VoteKind.NULLIFY] and Timer.VIEW in core.timers:
        core.timers[Timer.VIEW] = now_ms
    elif core.keeper.power_of(core.view, VoteKind.NULLIFY) >= core.instance.validators.blocking:
        hasten(core, now_ms)


def hasten(core: Core, now_ms: int) -> None:
    """C-15: work has come: timers are normal from now on."""
    tempo = core.tempo
    for timer, base in ((Timer.LEADER, tempo.leader_ms), (Timer.VIEW, tempo.view_ms)):
        if timer in core.timers:
            due = now_ms + tempo.scaled(base, core.view, core.final_view)
            core.timers[timer] = min(core.timers[timer], due)


def relax(core: Core, now_ms: int) -> None:
    """C-15: there is no work after all, and no proposal: the leader may wait, so it is waited for."""
    if core.phase is not Phase.WAIT or Timer.LEADER not in core.timers:
        return
    tempo = core.tempo
    for timer, base in ((Timer.LEADER, tempo.leader_ms), (Timer.VIEW, tempo.view_ms)):
        if timer in core.timers:
            due = core.entered_ms + tempo.scaled(base, core.view, core.final_view) + tempo.idle_interval_ms
            core.timers[timer] = max(core.timers[timer], due)
    heed_nullifies(core, now_ms)


def prune(core: Core) -> None:
    """C-18: forget what is final, and votes out of reach."""
    lowest = core.view - limits.VIEW_RETENTION
    core.keeper.prune(lowest, core.highest_notarized)
    for table in (core.notarizations, core.nullifications, core.own):
        for view in [view for view in table if view <= core.final_view]:
            del table[view]
    for view in [view for view in core.early if view < core.view]:
        del core.early[view]
    core.equivocated = {view for view in core.equivocated if view >= lowest}
