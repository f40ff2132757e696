"""Guarantees, measured: how a promise is measured, and the suites of the library."""
