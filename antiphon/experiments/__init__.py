"""Experiments: their settings, the TOML files that come with antiphon, and the code that reads and checks them."""
