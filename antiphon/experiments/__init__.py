"""Experiments: TOML files, what may stand in them, and the values that they become."""
