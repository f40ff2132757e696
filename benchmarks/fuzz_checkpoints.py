"""Damages checkpoints at random, and loads them: only ExperimentError may be raised.

In half of the cases the manifest is made to agree with the damage, so that the damage gets past the digests.
"""

import hashlib
import json
import resource
import time
from collections import Counter
from dataclasses import replace
from random import Random

import torch

from antiphon.coordinator.checkpoint import (
    MANIFEST,
    FileEntry,
    Manifest,
    Writer,
    cut,
    load_states,
    read_manifest,
    write_manifest,
)
from antiphon.coordinator.storage import Folder, folder_at
from antiphon.errors import ExperimentError
from antiphon.grammars.states import same_states
from benchmarks.report import options, write_section

WORDS = [b"null", b"[]", b"{}", b"-1", b"1e999", b'"x"', b"[[[[", b"NaN", b"9" * 40, b"\x00", b"true", b'{"$tuple":']


def seed_checkpoint(folder: Folder) -> dict:
    """Write a small checkpoint with all kinds of values, and return its states."""
    tensors = {"weight": torch.randn(3, 2), "count": torch.tensor(3), "wide": torch.randn(2, dtype=torch.complex128)}
    plain = {"rate": 0.1, "tuple": (1, [None, True]), "keys": {1: "one", (2, "a"): torch.ones(2)}, "name": "α"}
    states = {"Actor": {**tensors, **plain}, "Nature": {"rows": torch.randn(300, 2000), "at": 3}}
    files = Writer().write(folder, cut(states), {"Nature"})
    write_manifest(folder, Manifest("0" * 64, 3, 0, tuple(states), files))
    return states


def mutated(data: bytes, random: Random) -> bytes:
    """Return the bytes with one random damage."""
    at, end = sorted((random.randrange(len(data) + 1), random.randrange(len(data) + 1)))
    match random.randrange(6):
        case 0:
            return data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]
        case 1:
            return data[:at]
        case 2:
            return data[:at] + data[end:]
        case 3:
            return data[:end] + data[at:]
        case 4:
            return data[:at] + random.choice(WORDS) + data[end if random.random() < 0.5 else at :]
        case _:
            flipped = bytearray(data)
            flipped[at - 1] ^= 1 << random.randrange(8)
            return bytes(flipped)


def sign_again(folder: Folder, name: str, data: bytes) -> None:
    """Make the manifest agree with the changed file `name`. If that is the manifest, make it agree with its digest."""
    if name != MANIFEST:
        manifest = read_manifest(folder)
        entry = FileEntry(len(data), hashlib.sha256(data).hexdigest())
        write_manifest(folder, replace(manifest, files={**manifest.files, name: entry}))
        return
    try:
        body = json.loads(data)["manifest"]
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        folder.write(MANIFEST, json.dumps({"digest": digest, "manifest": body}, indent=1).encode())
    except (ValueError, KeyError, TypeError, RecursionError):
        return  # it is no manifest any more


def fuzz(folder: Folder, count: int, seed: int) -> Counter[str]:
    """Load `count` damaged checkpoints. Return how many were refused, unchanged, or loaded because signed again.

    Raises AssertionError if another value is loaded from a checkpoint that was not signed again. Raises whatever is
    raised besides ExperimentError.
    """
    random, told = Random(seed), Counter[str]()
    states = seed_checkpoint(folder)
    whole = {name: folder.read(name, 2**30) for name in folder.names()}
    for _ in range(count):
        name = random.choice(list(whole))
        data = mutated(whole[name], random)
        signed = random.random() < 0.5
        folder.write(name, data)
        if signed:
            sign_again(folder, name, data)
        try:
            found = load_states(folder)
        except ExperimentError:
            told["refused"] += 1
        else:
            same = same_states(found, states)
            assert same or signed, f"damage to {name!r} changed a value and was not found"
            told["loaded, the same values" if same else "loaded, signed again by the attacker"] += 1
        folder.write(name, whole[name])
        folder.write(MANIFEST, whole[MANIFEST])
    return told


def main() -> None:
    """Fuzz checkpoints, and write the section of RESULTS.md."""
    given = options(__doc__, files=100_000, seed=0)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    told = fuzz(folder_at("memory://fuzz"), given["files"], given["seed"])
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    counts = "; ".join(f"{count} {what}" for what, count in sorted(told.items()))
    write_section(
        "Fuzzed checkpoints",
        f"`python -m benchmarks.fuzz_checkpoints --files {given['files']}`\n\n{given['files']} damaged checkpoints in "
        f"{time.process_time() - began:.0f} s of CPU time: {counts}. Every refusal was an ExperimentError. Without a "
        f"new signature no changed value was loaded. The peak of memory grew by {grown:.0f} MiB.\n",
    )


if __name__ == "__main__":
    main()
