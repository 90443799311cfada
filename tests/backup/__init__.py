"""Backups: what belongs into one, and that nothing restored passes for a memory (C-24)."""
