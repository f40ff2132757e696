"""The command line. Most commands have a module of their own."""
