"""Measure the promises of grammars, and define the suites that measure the promises of the library's grammars."""
