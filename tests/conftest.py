"""What all tests share: one thread, a quiet Ray, child processes that import what the tests import, fixed seeds."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

LINKS = Path(__file__).resolve().parent.parent / ".links"

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; workers inherit it
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_DEDUP_LOGS", "0")

# Tests send these signals to this process and its children; a shell or nohup may have started it with them ignored.
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)

_inherited = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(LINKS)]
os.environ["PYTHONPATH"] = os.pathsep.join([str(LINKS), *_inherited])

collect_ignore = ["rigs"]  # imported as `rigs`, and under no second name

settings.register_profile("laws", derandomize=True, deadline=None, max_examples=50, database=None)
settings.register_profile("explore", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "laws"))


@pytest.fixture
def refusal() -> Callable[[type[Exception], Callable[[], Any]], str]:
    """The text of the error, of exactly this class, that an act raises."""

    def text(kind: type[Exception], act: Callable[[], Any]) -> str:
        with pytest.raises(kind) as caught:
            act()
        assert type(caught.value) is kind
        return str(caught.value)

    return text


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """A test that changes the number of threads leaves it as it was."""
    import torch  # after the variables above are set

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
