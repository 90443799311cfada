"""Gossip: who hears whom, and what is therefore passed on (L-14).

In a full mesh nothing is passed on; in a ring, a star, or two sites joined by one link, everything
arrives. May import limits, types. Public names: `Neighbours`.
"""

from protocol.gossip.neighbours import Neighbour, Neighbours

__all__ = ["Neighbour", "Neighbours"]
