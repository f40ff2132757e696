"""The process's heap: memory that one round frees is there for the next one."""

import torch

_LARGEST = 31 << 20
"""Bytes, just below the largest block that glibc learns from (32 MiB)."""


def keep_freed_memory() -> None:
    """Let the C library keep memory that is freed, instead of a system call and page faults in every round.

    A round frees many blocks of some 100 KB at once. glibc returns those to the system, until it has seen a larger
    block come and go: then it keeps freed blocks up to that size, and twice that at the end of its heap (man 3 mallopt,
    M_MMAP_THRESHOLD). So one block is made and freed here, without touching its pages. Elsewhere this does nothing.
    """
    torch.empty(_LARGEST, dtype=torch.uint8)
