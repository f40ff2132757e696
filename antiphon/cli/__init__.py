"""The command line `antiphon`. Most of its commands have a module of their own in this folder."""
