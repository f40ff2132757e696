"""One random stream per run and node, so that numbers do not depend on where a node is computed."""

import hashlib
import random
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import torch
from numpy.random.mtrand import get_bit_generator, set_bit_generator

_MASK = (1 << 63) - 1


def stream(seed: int, *names: str) -> int:
    """Return the seed of one random stream of a run: 63 bits of the sha256 of the run's seed and the names.

    >>> stream(0, "player", "Actor") == stream(0, "player", "Actor") != stream(1, "player", "Actor")
    True
    """
    text = "\x1f".join((str(seed), *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") & _MASK


def at_round(base: int, round: int) -> int:
    """Return the seed of a random stream in one round (splitmix64's finalizer).

    base: the seed of the stream. The result depends on `base` and `round` only, so a checkpoint needs no state of the
    stream.
    """
    mixed = (base + (round + 1) * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (mixed ^ (mixed >> 31)) & _MASK


def begin_streams(seed: int, generators: Sequence[torch.Generator] = (torch.default_generator,)) -> None:
    """Seed all torch generators in `generators`, and the global random streams of numpy and Python, with `seed`."""
    for generator in generators:
        generator.manual_seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)  # numpy accepts 32 bits only
    random.seed(seed)


@contextmanager
def forked(seed: int = 0, devices: Sequence[int] = ()) -> Iterator[None]:
    """A context in which the global streams of torch, numpy and Python begin at `seed`. They are restored afterwards.

    devices: the CUDA devices whose streams are restored, too.

    >>> with forked(3):
    ...     inside = torch.rand(2), np.random.rand(), random.random()
    >>> with forked(3):
    ...     inside[0].equal(torch.rand(2)), inside[1:] == (np.random.rand(), random.random())
    (True, True)
    """
    python = random.getstate()
    with torch.random.fork_rng(devices=devices), _numpy_as_it_was():
        begin_streams(seed)
        try:
            yield
        finally:
            random.setstate(python)


def making(seed: int, kind: str, name: str) -> AbstractContextManager[None]:
    """A context in which an oracle or an agent is made.

    The random streams inside depend on the run's seed, kind and name.
    """
    return forked(stream(seed, "make", kind, name))


@contextmanager
def _numpy_as_it_was() -> Iterator[None]:
    # Other code may have given numpy a generator of another kind, which cannot be seeded.
    generator = get_bit_generator()
    state = np.random.get_state(legacy=False) if isinstance(generator, np.random.MT19937) else None
    if state is None:
        set_bit_generator(np.random.MT19937())
    try:
        yield
    finally:
        set_bit_generator(generator)
        if state is not None:
            np.random.set_state(state)
