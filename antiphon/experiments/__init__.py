"""Experiments: their TOML files, the allowed keys, and the values that are read from them."""
