"""Experiments: the TOML files that come with antiphon, the allowed keys, and the code that reads and checks them."""
