"""Grammars as values: graphs, chain rule, guarantees and the mathematics of operators; imports torch, never Ray, no I/O."""
