"""What would not fit is refused by its size, against what the machine and its control group have left."""

import pytest

from antiphon.envs.available_memory import available_memory, refuse_beyond_memory
from antiphon.envs.replay import Replay
from antiphon.errors import OracleError

MIB = 2**20


@pytest.fixture
def machine(tmp_path):
    def write(**files):
        for name, text in files.items():
            (tmp_path / name.replace("__", ".")).write_text(text)
        return tmp_path, tmp_path

    return write


def test_the_machine_and_the_group_limit_it(machine):
    assert available_memory(*machine()) is None
    assert available_memory(*machine(meminfo="MemTotal: 9 kB\nMemAvailable:    2048 kB\n")) == 2 * MIB
    assert available_memory(*machine(memory__max="max\n", memory__current="5\n")) == 2 * MIB
    limited = machine(memory__max=f"{3 * MIB}\n", memory__current=f"{2 * MIB}\n")
    assert available_memory(*limited) == MIB
    cached = machine(memory__stat=f"anon 9\nactive_file {MIB // 4}\ninactive_file {MIB // 4}\n")
    assert available_memory(*cached) == 3 * MIB // 2


def test_this_machine_has_some():
    assert 0 < (available_memory() or 1) < 2**60


def test_beyond_it_is_refused(monkeypatch):
    monkeypatch.setattr("antiphon.envs.available_memory.available_memory", lambda: 2 * 2**30)
    refuse_beyond_memory("a list", 2 * 2**30, "Take less.")
    with pytest.raises(OracleError, match=r"^a list needs 3.0 GiB .* at most the 2.0 GiB .* Take less.$"):
        refuse_beyond_memory("a list", 3 * 2**30, "Take less.")


def test_a_replay_is_refused_before_it_takes_and_before_it_copies(monkeypatch):
    monkeypatch.setattr("antiphon.envs.available_memory.available_memory", lambda: 1000)
    with pytest.raises(OracleError, match="'X': a replay of 100 transitions with observations of 3 numbers"):
        Replay(100, 3, 1, who="environment 'X'")
    replay = Replay(20, 3, 1)
    replay.store(*(column[:20] for column in replay._columns))
    monkeypatch.setattr("antiphon.envs.available_memory.available_memory", lambda: 100)
    with pytest.raises(OracleError, match="a copy of the replay's 20 transitions"):
        replay.state()
