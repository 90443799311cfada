"""Joining by a snapshot: a new node gets the state and what belongs to it from several peers, and believes none.

A machine of its own, with the node's door (`step(input, now) -> effects`), that lives before there is a node: it knows
genesis and whatever was staged before. In order:

1. **Offers.** Every peer is asked which snapshots it has. The best offer is looked at first: how the epochs before
   it ended is fetched from its peer and verified from genesis on, then its headers and finalization. One that does not
   verify is a lie, its peer is banned for this joining, the next offer is looked at.
2. **Gathering** (`protocol.snapshot.gathering`), from all peers that offer the same state under the same header, one
   question at a time to each. Every answer is checked by itself, so a liar is known by its first one: banned, and
   its question asked of another. Who is silent, or does not have it (any more), is left alone for a while, and asked
   anew what it has: it may have dropped the snapshot in silence.
3. **Complete**: everything is staged, and the host installs it.

What is staged is durable and was checked, so after a crash the same machine goes on. If for `PATIENCE_INTERVALS`
nothing is added to it, because no peer has the accepted snapshot any more or those who offer it say nothing, it is
forgotten and another one taken: which, `joining_peers` says. Where nobody who is connected has it and somebody has a
newer one, it is not worth waiting for: `GONE_INTERVALS`.

The host's duties: `Keep` and `Forget` are carried out in order, and what was kept can be read before the next step.

Joiners tell each other that they have nothing, so that a new network of joiners begins.

Deliberately absent: disk, clock, sockets; what to do when no peer has a snapshot (`nobody_has_one` says so).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from protocol import limits
from protocol.codec import decode, encode, kind_of
from protocol.errors import Malformed
from protocol.ledger.genesis import Genesis
from protocol.node.interface import Disconnect, Note, Now, PeerDown, PeerUp, Priority, Received, Send, Tick
from protocol.node.joining_peers import Peer, Peers
from protocol.proofs.finality import ProofRefused
from protocol.snapshot import staging
from protocol.snapshot.gathering import (
    BlocksWant,
    Gathering,
    HeadersWant,
    PiecesWant,
    ReceiptsWant,
    Want,
)
from protocol.snapshot.offers import EpochChain, Offered, read_offer, verify_offer
from protocol.snapshot.serving import OFFERS_MAX
from protocol.snapshot.staging import Staged
from protocol.sync import BlockSync
from protocol.wire import messages
from protocol.wire import snapshot as wire

SILENCE_INTERVALS: Final = 20
"""Retry intervals after which a peer that was asked and says nothing is left for another."""
AVOID_INTERVALS: Final = 40
OFFERS_INTERVALS: Final = 4
"""Retry intervals in which offers are gathered before the highest is taken, and between two questions for them."""
SETTLING_INTERVALS: Final = 2
"""Retry intervals from the first offer that a peer makes when it is asked until the last."""
JOINERS_INTERVALS: Final = 40
"""Retry intervals after which joiners among themselves believe that there is no network yet."""
PATIENCE_INTERVALS: Final = 120
"""Retry intervals in which nothing of the accepted snapshot comes until another is taken..."""
GONE_INTERVALS: Final = 20
"""...and those where no connected peer has it any more, and one offers a newer one."""
OFFERS_OF_A_PEER_MAX: Final = OFFERS_MAX
"""As many as an honest peer serves; each is at most a message."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep this where `Staged` finds it; durable before long, and in order."""

    key: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Forget:
    """The accepted snapshot is not to be had any more: drop all that is staged, but for the ends of epochs."""


JoiningEffect = Send | Disconnect | Note | Keep | Forget
JoiningInput = PeerUp | PeerDown | Received | Tick


@dataclass(frozen=True, slots=True)
class JoiningStatus:
    """How far a joining is. Totals are 0 while they are not known; `pieces_total` is the offer's word.

    stage: offers, epochs, gathering, complete.
    """

    stage: str
    height: int = 0
    sources: int = 0
    peers: int = 0
    pieces: int = 0
    pieces_total: int = 0
    blocks: int = 0
    blocks_total: int = 0
    receipts: int = 0
    receipts_total: int = 0


class _Gathered:
    """What is staged, and what this step adds to it."""

    def __init__(self, staged: Staged) -> None:
        self._staged = staged
        self.fresh: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        return self.fresh.get(key) or self._staged.get(key)

    def has(self, key: bytes) -> bool:
        """Whether there is one."""
        return key in self.fresh or self._staged.has(key)


class Joining:
    """See the essay."""

    def __init__(self, genesis: Genesis, staged: Staged, now: Now, *, pinned: tuple[int, bytes] | None = None) -> None:
        self.genesis = genesis
        self._staged = _Gathered(staged)
        self._pinned = pinned
        self._interval_ms = genesis.parameters.retry_interval_ms
        self._now_ms = now.monotonic_ms
        self._out: list[JoiningEffect] = []
        self.peers = Peers()
        self.banned: set[bytes] = set()
        self._began_ms: int | None = None
        self._asked_ms = now.monotonic_ms
        self._progress_ms = now.monotonic_ms
        """When something was staged last."""
        self._tried: set[bytes] = set()
        """Peers that were asked for the accepted snapshot since."""
        self.epochs = EpochChain.of(genesis)
        self.offer: wire.SnapshotOffer | None = None
        self.offered: Offered | None = None
        self.gathering: Gathering | None = None
        self._candidate: tuple[bytes, int] | None = None
        """Whose offer is being looked at, and its height."""
        self._recall()

    def _recall(self) -> None:
        """What an earlier process staged."""
        for closed in staging.staged_epochs(self._staged):
            self.epochs.follow(closed)
        data = self._staged.get(staging.OFFER_KEY)
        if data is not None:
            self._accept(decode(wire.SnapshotOffer, data))

    def _accept(self, offer: wire.SnapshotOffer) -> None:
        """Raises ProofRefused."""
        self.offered = verify_offer(self.epochs, offer, self._pinned)
        self.offer = offer
        self.gathering = Gathering.begin(self.genesis, self._staged, self.offered)

    # -- The door -----------------------------------------------------------------------------------

    def step(self, given: JoiningInput, now: Now) -> list[JoiningEffect]:
        """Take one input; what follows, in order."""
        self._now_ms = now.monotonic_ms
        self._staged.fresh.clear()
        match given:
            case PeerUp(peer):
                self._peer_up(peer)
            case PeerDown(peer):
                self._peer_down(peer)
            case Received(peer, data):
                self._received(peer, data)
            case Tick():
                self._tick()
        if not any(isinstance(effect, Forget) for effect in self._out):
            self._go_on()  # what is forgotten is still there until the host has dropped it
        out, self._out = self._out, []
        return out

    @property
    def wake_at_ms(self) -> int:
        """Monotonic time at which `Tick` is to be stepped."""
        return self._now_ms + self._interval_ms

    @property
    def complete(self) -> bool:
        """Whether everything is staged."""
        gathering = self.gathering
        if gathering is None or gathering.window is None or gathering.lacking:
            return False
        return all(not _is_want(peer.asked) for peer in self.peers.values())

    @property
    def nobody_has_one(self) -> bool:
        """Whether the peers that are connected have answered for a while, and none has a snapshot.

        Those that join too are waited for longer: if nobody else is there, the network is a new one.
        """
        if self.offer is not None or not self.peers or self._began_ms is None:
            return False
        if any(peer.offers or not peer.answered for peer in self.peers.values()):
            return False
        runs = any(peer.runs for peer in self.peers.values())
        return self._now_ms - self._began_ms >= (OFFERS_INTERVALS if runs else JOINERS_INTERVALS) * self._interval_ms

    @property
    def highest(self) -> int:
        """The highest final height that a peer tells."""
        return max((peer.final_height for peer in self.peers.values()), default=0)

    @property
    def status(self) -> JoiningStatus:
        """For people."""
        sources = len(self._sources())
        gathering, offer = self.gathering, self.offer
        if gathering is None or offer is None:
            stage = "offers" if self._candidate is None else "epochs"
            return JoiningStatus(stage, peers=len(self.peers))
        done, window = gathering.done, gathering.window
        return JoiningStatus(
            "complete" if self.complete else "gathering",
            offer.height,
            sources,
            len(self.peers),
            done.pieces,
            max(offer.pieces, done.pieces),
            done.blocks,
            0 if window is None else window.blocks,
            done.receipts,
            0 if window is None else window.log_size - window.first_receipt,
        )

    # -- Peers --------------------------------------------------------------------------------------

    def _peer_up(self, peer: bytes) -> None:
        self._peer_down(peer)
        if peer in self.banned:
            self._out.append(Disconnect(peer, "it sent what is not the network's, while this node joined"))
            return
        self.peers[peer] = Peer()
        if self._began_ms is None:
            self._began_ms = self._now_ms
        self._ask_for_offers(peer)

    def _ask_for_offers(self, peer: bytes) -> None:
        self.peers[peer].asked_for_offers(self._now_ms + OFFERS_INTERVALS * self._interval_ms)
        self._say(peer, wire.SnapshotsWanted(0))

    def _peer_down(self, peer: bytes) -> None:
        gone = self.peers.pop(peer, None)
        if gone is not None:
            self._give_back(gone)
        if self._candidate is not None and peer == self._candidate[0]:
            self._candidate = None
            self.peers.failed({peer})

    def _give_back(self, peer: Peer) -> None:
        asked = peer.asked
        peer.asked, peer.blocks = None, None
        if self.gathering is None or asked is None or isinstance(asked, int):
            return
        if isinstance(asked, BlocksWant):
            self.gathering.blocks_ended(asked, peer.following)
        else:
            self.gathering.give_back(asked)

    def _blame(self, peer: bytes, words: str) -> None:
        """It sent what no honest node sends: nothing of it is asked any more."""
        self.note("peer_charged", peer=peer, words=f"snapshot sync: {words}")
        self._out.append(Disconnect(peer, words))
        self._peer_down(peer)
        if len(self.banned) < limits.PEERS_MAX:
            self.banned.add(peer)

    def _leave(self, peer: bytes) -> None:
        """It does not give what was asked for: others, for a while."""
        known = self.peers[peer]
        self._give_back(known)
        known.avoid_until_ms = self._now_ms + AVOID_INTERVALS * self._interval_ms

    def note(self, name: str, **facts: int | str | bytes) -> None:
        """Something worth a log line."""
        self._out.append(Note(name, dict(facts)))

    def _say(self, peer: bytes, message: Any) -> None:
        self._out.append(Send((peer,), Priority.CONSENSUS, encode(message)))

    def _sources(self) -> list[bytes]:
        """Peers that offer the accepted state under the accepted header."""
        return [] if self.offer is None else self.peers.offering(self.offer)

    # -- What comes ---------------------------------------------------------------------------------

    def _received(self, peer: bytes, data: bytes) -> None:
        known = self.peers.get(peer)
        handler = None if known is None else _HANDLERS.get(messages.MESSAGES.get(kind_of(data) or 0, object))
        if known is None or handler is None:
            return  # what is said to nodes that take part is not for one that does not yet
        try:
            handler(self, peer, known, messages.read(data))
        except (Malformed, ProofRefused) as fault:
            self._blame(peer, fault.words)

    def on_keepalive(self, _peer: bytes, known: Peer, message: messages.Keepalive) -> None:
        """How far a peer is."""
        known.runs, known.final_height = True, message.final_height

    def on_snapshots_wanted(self, peer: bytes, _known: Peer, _question: wire.SnapshotsWanted) -> None:
        """Another joiner asks: there is none here yet."""
        self._say(peer, wire.SnapshotOffer(0, (), None, 0))

    def on_offered(self, _peer: bytes, known: Peer, offer: wire.SnapshotOffer) -> None:
        """A snapshot that a peer has."""
        if known.listing_until_ms:
            known.settles_ms = self._now_ms + SETTLING_INTERVALS * self._interval_ms
        known.answered, known.listing_until_ms = True, 0
        known.stale.discard(offer.height)
        if offer.height:
            read = read_offer(offer)
            if self._pinned is not None and read.tip.height <= self._pinned[0]:
                return  # no lie, but nothing would tell it from one (`offers.check_pin`)
            known.offers[offer.height] = offer
            while len(known.offers) > OFFERS_OF_A_PEER_MAX:
                del known.offers[min(known.offers)]

    def on_epochs_found(self, _peer: bytes, known: Peer, found: wire.EpochsFound) -> None:
        """How epochs ended."""
        if known.asked != found.first_epoch or not isinstance(known.asked, int):
            return
        known.asked = None
        if not found.closed:
            raise Malformed("closed", f"it offers a snapshot, and can't say how epoch {found.first_epoch} ended")
        for closed in found.closed:
            epoch = self.epochs.epoch
            self.epochs.follow(closed)
            self._stage(staging.epoch_key(epoch), staging.pack_epoch(epoch, closed))

    def on_headers_found(self, peer: bytes, known: Peer, found: wire.HeadersBelow) -> None:
        """Headers of the window."""
        want = known.asked
        if not isinstance(want, HeadersWant) or self.gathering is None or found.height != want.height:
            return
        self._keep(self.gathering.headers_found(want, found), known)
        if not found.headers:
            self._leave(peer)

    def on_pieces_found(self, peer: bytes, known: Peer, found: wire.PiecesFound) -> None:
        """Pieces of the state."""
        want, offer = known.asked, self.offer
        if not isinstance(want, PiecesWant) or self.gathering is None or offer is None or found.height != offer.height:
            return
        if found.pieces and found.pieces[0].prefix != want.below[0].prefix:
            return  # the late answer to an earlier question
        self._keep(self.gathering.pieces_found(want, found.pieces), known)
        if not found.pieces:
            known.offers.pop(offer.height, None)
            self._leave(peer)

    def on_receipts_found(self, peer: bytes, known: Peer, found: wire.ReceiptsFound) -> None:
        """Receipts of the window."""
        want = known.asked
        if not isinstance(want, ReceiptsWant) or self.gathering is None or found.first != want.first:
            return
        if found.size != self._log_size:
            return  # the late answer to a question about another snapshot
        kept = self.gathering.receipts_found(want, found)
        self._keep([] if kept is None else [kept], known)
        if kept is None:
            self._leave(peer)

    def _keep(self, kept: list[tuple[bytes, bytes]], known: Peer) -> None:
        """The question was answered: what is kept was checked."""
        known.asked = None
        for each in kept:
            self._stage(*each)

    def _stage(self, key: bytes, data: bytes) -> None:
        self._staged.fresh[key] = data
        self._progress_ms = self._now_ms
        self._tried.clear()
        self._out.append(Keep(key, data))

    def on_block_part(self, _peer: bytes, known: Peer, part: messages.BlockPart) -> None:
        """A part of a block of the window."""
        want, sync = known.asked, known.blocks
        if not isinstance(want, BlocksWant) or sync is None or self.gathering is None:
            return
        if part.count and not want.first <= part.height < want.end:
            return  # the late answer to an earlier question
        sync.take(part, self._now_ms)
        for block in sync.release(len(sync.pending)):
            if block.header.height < want.end:
                self._stage(*self.gathering.block_found(block.header.height, block.header_bytes, block.batches))
                known.following = block.header.height + 1
        known.deadline_ms = self._now_ms + SILENCE_INTERVALS * self._interval_ms
        if known.following >= want.end or sync.answered():
            known.asked, known.blocks = None, None
            self.gathering.blocks_ended(want, known.following)
            if known.following == want.first:
                known.avoid_until_ms = self._now_ms + AVOID_INTERVALS * self._interval_ms

    # -- Going on -----------------------------------------------------------------------------------

    def _tick(self) -> None:
        for key, peer in list(self.peers.items()):
            silent = peer.asked is not None and self._now_ms >= peer.deadline_ms
            if silent:
                self._leave(key)
            if (peer.drop_stale(self._now_ms) or silent) and self._candidate is not None and key == self._candidate[0]:
                peer.offers.clear()
                self._candidate = None
                self.peers.failed({key})
        if self._now_ms - self._asked_ms >= OFFERS_INTERVALS * self._interval_ms:
            self._asked_ms = self._now_ms
            sources = set(self._sources())
            for key, peer in self.peers.items():
                # A source that gives nothing may have dropped it since.
                useful = key in sources and peer.avoid_until_ms <= self._now_ms
                if not useful and peer.may_be_asked_for_offers(self._now_ms):
                    self._ask_for_offers(key)
        if self.offer is None or not self.peers or self.complete:
            self._progress_ms = self._now_ms
        elif self._now_ms - self._progress_ms >= self._patience(self.offer) * self._interval_ms:
            self._give_up(self.offer)

    def _patience(self, offer: wire.SnapshotOffer) -> int:
        """Retry intervals that may pass without anything of this snapshot."""
        gone = not self._sources() and any(max(peer.offers, default=0) > offer.height for peer in self.peers.values())
        return GONE_INTERVALS if gone else PATIENCE_INTERVALS

    def _give_up(self, offer: wire.SnapshotOffer) -> None:
        """Nothing of it comes any more."""
        self.note("snapshot_gone", height=offer.height)
        self.peers.failed(self._tried)
        self._tried.clear()
        for peer in self.peers.values():
            peer.asked, peer.blocks, peer.avoid_until_ms = None, None, 0
        self._out.append(Forget())
        self.offer = self.offered = self.gathering = None
        self._progress_ms = self._now_ms

    def _go_on(self) -> None:
        if self.offer is None:
            self._choose()
        gathering = self.gathering
        if gathering is None:
            return
        for key in self._sources():
            peer = self.peers[key]
            if peer.free(self._now_ms) and peer.avoid_until_ms <= self._now_ms:
                want = gathering.next()
                if want is None:
                    return
                self._want(key, peer, want)

    def _choose(self) -> None:
        """Look at the best offer, once offers had time to come: its epochs first, then itself."""
        if self._began_ms is None or self._now_ms - self._began_ms < OFFERS_INTERVALS * self._interval_ms:
            everyone = bool(self.peers) and all(peer.answered for peer in self.peers.values())
            if not everyone or len(self.peers) < 2:
                return
        while self.offer is None:
            self._candidate = self._candidate or self.peers.best(self._now_ms)
            if self._candidate is None:
                return
            key, height = self._candidate
            peer = self.peers[key]
            offer = peer.offers[height] if height in peer.offers else peer.offers[max(peer.offers)]
            epoch = read_offer(offer).named_by.epoch
            if epoch > self.epochs.epoch:
                if peer.free(self._now_ms):
                    peer.asked = self.epochs.epoch
                    peer.deadline_ms = self._now_ms + SILENCE_INTERVALS * self._interval_ms
                    self._say(key, wire.EpochsWanted(self.epochs.epoch))
                return
            self._candidate = None
            try:
                self._accept(offer)
            except ProofRefused as fault:
                self._blame(key, f"its offer of a snapshot at {offer.height}: {fault.words}")
                continue
            self._stage(staging.OFFER_KEY, encode(offer))
            self.note("snapshot_accepted", height=offer.height, peer=key)

    def _want(self, key: bytes, peer: Peer, want: Want) -> None:
        assert self.offer is not None
        assert self.gathering is not None
        peer.asked = want
        self._tried.add(key)
        peer.deadline_ms = self._now_ms + SILENCE_INTERVALS * self._interval_ms
        match want:
            case HeadersWant():
                self._say(key, wire.HeadersBelowWanted(want.height))
            case ReceiptsWant():
                self._say(key, wire.ReceiptsWanted(want.first, want.end, self._log_size))
            case PiecesWant():
                prefixes = tuple(piece.prefix for piece in want.below)
                self._say(key, wire.PiecesWanted(self.offer.height, prefixes))
            case BlocksWant():
                peer.blocks, peer.following = BlockSync(self._interval_ms), want.first
                parent = self.gathering.header(want.first).parent
                peer.blocks.begin(key, want.first, parent, want.end - 1, self._now_ms)
                self._say(key, messages.BlocksWanted(want.first, want.end - want.first))

    @property
    def _log_size(self) -> int:
        assert self.offered is not None
        return self.offered.executed.log_size


def _is_want(asked: Want | int | None) -> bool:
    return asked is not None and not isinstance(asked, int)


_HANDLERS: Final[dict[type[Any], Callable[[Joining, bytes, Peer, Any], None]]] = {
    messages.Keepalive: Joining.on_keepalive,
    messages.BlockPart: Joining.on_block_part,
    wire.SnapshotsWanted: Joining.on_snapshots_wanted,
    wire.SnapshotOffer: Joining.on_offered,
    wire.EpochsFound: Joining.on_epochs_found,
    wire.HeadersBelow: Joining.on_headers_found,
    wire.PiecesFound: Joining.on_pieces_found,
    wire.ReceiptsFound: Joining.on_receipts_found,
}
"""What a joiner listens to."""
