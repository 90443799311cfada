"""The node: all rooms of `protocol` put together behind one door, `Node.step(input, now) -> effects`.

Public names: `Node` (`protocol.node.node`), its inputs and effects (`protocol.node.interface`), what it is
made from (`protocol.node.setup`). May import every room of `protocol` but the simulator. Reading order:
interface, setup, node.
"""
