"""Real `papilio run` processes, as operators' machines have them; `network.py` is the harness.

Waits are for conditions, never for a time; processes die with their test. Heavy runs are marked `long`.
"""
