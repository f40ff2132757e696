"""The command `antiphon doctor`: check whether a machine has everything that a run needs."""
