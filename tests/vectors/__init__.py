"""Bytes that must not change: our own (golden.json) and others' (published vectors, see README.md here).

`python -m tests.vectors FILE_OR_FOLDER...` runs published vector files as they are and counts agreements;
`python -m tests.vectors.golden` looks after ours.
"""
