"""Measurements of whole runs, each a module with a command line; they write their sections of RESULTS.md."""
