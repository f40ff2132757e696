"""Keeps the memory that a round frees in the process, so that the next round can use it again."""

import torch

_LARGEST = 31 << 20
"""Size of the block to allocate and free, in bytes. Larger blocks than 32 MiB do not change glibc's threshold."""


def keep_freed_memory() -> None:
    """Make glibc keep freed memory in the process. This saves system calls and page faults in every round.

    A round frees many blocks of some 100 KB at once, and by default glibc returns them to the system. After a process
    has freed one larger block, glibc keeps freed blocks up to that size, and up to twice that size at the end of its
    heap (man 3 mallopt, M_MMAP_THRESHOLD). So this function allocates and frees one block of 31 MiB. It does not touch
    the pages of the block. With other C libraries it has no effect.
    """
    torch.empty(_LARGEST, dtype=torch.uint8)
