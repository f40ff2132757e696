"""Benchmarks of whole runs. Each is a module with a command line and writes its section of RESULTS.md."""
