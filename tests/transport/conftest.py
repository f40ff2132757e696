"""Fixtures for the tests of transport: one thread, one store for all groups."""

from collections.abc import Iterator

import pytest
import torch

from antiphon.transport.rendezvous import Address, StoreServer


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def address() -> Iterator[Address]:
    """Where a store answers, for all tests."""
    store = StoreServer("127.0.0.1")
    yield store.address
    del store
