"""Tests of `protocol.restart`: what survivors report, what follows from it, and what a new network begins with."""
