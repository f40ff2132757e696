"""How a promise is measured, and the suites that measure the library's promises."""
