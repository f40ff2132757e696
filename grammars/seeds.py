"""One random stream per run and node, so that numbers do not depend on where a node is played."""

import hashlib

_MASK = (1 << 63) - 1


def stream(seed: int, *names: str) -> int:
    """The seed of one stream of a run: 63 bits, from sha256 of the run's seed and the names.

    >>> stream(0, "player", "Actor") == stream(0, "player", "Actor") != stream(1, "player", "Actor")
    True
    """
    text = "\x1f".join((str(seed), *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") & _MASK


def at_round(base: int, round: int) -> int:
    """The seed of a stream in one round (splitmix64's finalizer): counted, so that nothing has to be checkpointed."""
    mixed = (base + (round + 1) * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (mixed ^ (mixed >> 31)) & _MASK
