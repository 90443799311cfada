"""What operators see of a running node: log lines, the service manager's states.

`logs` configures structlog once for the process; `lines` are the canonical lines (one for each block, one for each
refused thing) and the node's notes; `limited` keeps repetition short; `notify` talks to systemd; `metrics` writes
what all parts count for Prometheus.

The rule above all: no key, seed or other secret is ever printed, and no content of clients either (logs.py).
May import: `protocol.node.interface`, `protocol.errors`.
"""
