"""Test suites for the promises of the library's grammars, one file per grammar. `antiphon check` runs them."""
