"""The lab: what is done to real processes from outside, so that scenarios can be tried on more than the simulator.

There is the fault proxy (`proxy`): a place between nodes that delays, stalls, cuts, throttles and corrupts what one
says to another. May import: the standard library and Trio; it is no part of a node. Public names: `proxy.Proxy`,
`proxy.Condition`, `proxy.CLEAR`, `proxy.Direction`.
"""
