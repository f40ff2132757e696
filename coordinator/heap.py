"""Keeps the memory that a round frees in the process, so that the next round can use it again."""

import torch

_LARGEST = 31 << 20
"""Size in bytes, just below the largest block that changes glibc's threshold (32 MiB)."""


def keep_freed_memory() -> None:
    """Let the C library keep freed memory. This saves system calls and page faults in every round.

    A round frees many blocks of some 100 KB at once, and by default glibc returns them to the system. After it has
    freed one larger block, glibc keeps freed blocks up to that size, and up to twice that size at the end of its heap
    (man 3 mallopt, M_MMAP_THRESHOLD). So one large block is allocated and freed here. Its pages are not touched. With
    other C libraries this has no effect.
    """
    torch.empty(_LARGEST, dtype=torch.uint8)
