"""Worker processes: signature checks and execution, away from the event loop.

Why processes: a thread that verifies beside a busy loop gets a fiftieth of its speed, because of the interpreter
lock's switch interval (performance.md, measured). A process has its own lock, its own core when there is one, and its
own crash.

The child's side is plain blocking code that imports as little as possible, since its memory counts: `frames` (how
the two talk), `child` (its loop, its death), `checks` (judging signatures, envelopes, batches), `verify` and `execute`
(the programs). `spare` forks the first of each before the node does anything else. The parent's side runs under Trio:
`link` (one child: start, talk, start again), `verifiers` (who checks what, when), `executor` (final blocks in order).

This file imports nothing: every child imports it.
"""
