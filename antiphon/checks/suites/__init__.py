"""Test suites for the promises of the library's grammars, one file per grammar; see `antiphon check`."""
