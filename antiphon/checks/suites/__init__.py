"""Suites of checks: one file for each grammar of the library. The recipe of the grammar names the suite."""
