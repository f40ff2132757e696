"""check_agent: honest agents pass, and each way of breaking the contract is told apart."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from antiphon.errors import AgentError
from antiphon.testing import check_agent
from rigs.agents import Momentum

Tensors = Sequence[Tensor]


def broken(**methods: Any) -> type:
    """The hand-written agent, with some methods replaced by ones that see the honest ones as `self.honest`."""

    def honest(self: Any) -> Any:
        return super(kind, self)

    kind = type("Broken", (Momentum,), {**methods, "honest": property(honest)})
    return kind


def forgets_its_velocity(self: Any) -> dict[str, Any]:
    return {"velocity": [torch.zeros_like(velocity) for velocity in self.velocity]}


def lends_its_velocity(self: Any) -> dict[str, Any]:
    return {"velocity": self.velocity}


def saves_an_object(self: Any) -> dict[str, Any]:
    return {"velocity": [velocity.clone() for velocity in self.velocity], "ages": {"old": [1, {2, 3}]}}


def saves_numpy(self: Any) -> dict[Any, Any]:
    return {"velocity": [velocity.clone() for velocity in self.velocity], 0: (np.float32(1.0),)}


def saves_under_numbers(self: Any) -> dict[Any, Any]:
    return {0: tuple(velocity.clone() for velocity in self.velocity), (1, None): "two"}


def loads_from_numbers(self: Any, state: dict[Any, Any]) -> None:
    self.velocity = [velocity.clone() for velocity in state[0]]


def keeps_what_it_loads(self: Any, state: dict[str, Any]) -> None:
    self.velocity = list(state["velocity"])


def hears_the_last_only(self: Any, response: Tensors) -> None:
    self.heard = [tensor.clone() for tensor in response]


def changes_responses(self: Any, response: Tensors) -> None:
    self.honest.hear(response)
    for tensor in response:
        tensor.mul_(0)


def moves_one_only(self: Any) -> Tensors:
    return self.honest.move()[:1]


def moves_in_double(self: Any) -> Tensors:
    return [tensor.double() for tensor in self.honest.move()]


def moves_its_own_memory(self: Any) -> Tensors:
    self.honest.move()
    return self.parameters


def moves_at_random(self: Any) -> Tensors:
    noise = torch.Generator()
    noise.seed()
    return [t + torch.randn(t.shape, generator=noise, dtype=t.dtype) for t in self.honest.move()]


def draws_in_vain(self: Any) -> Tensors:
    torch.rand(1)
    return self.honest.move()


TYPES = "['torch.float32(4, 3)', 'torch.float32(4,)', 'torch.float64(2, 2)']"
STATE = "a state that can be saved; the state of 'it' cannot be saved:"
SAVED = (
    "expected dense tensors, numbers, strings, booleans, None, and dicts, lists and tuples of these, which come back "
    "from disk as they are. Convert it in `state`, and back in `load`."
)
LEFT = (
    "overwriting them changed the moves that followed. Keep and return copies, or move the handed parameters in place."
)
OWN = (
    "a state in memory of its own; overwriting a state that was saved or loaded changed the moves that followed. "
    "Copy tensors in state and in load."
)


def test_the_hand_written_agent_passes():
    check_agent(Momentum)
    check_agent(Momentum, rate=0.3, inertia=0.9)


@pytest.mark.parametrize(
    ("methods", "text"),
    [
        (
            {"hear": None, "load": None},
            "the methods hear, move, state, load; hear, load missing. Write what is missing.",
        ),
        (
            {"move": moves_one_only},
            f"moves of {TYPES}; round 0 brought ['torch.float32(4, 3)']. Return every parameter, as handed over.",
        ),
        (
            {"move": moves_in_double},
            f"moves of {TYPES}; round 0 brought "
            f"{TYPES.replace('float32', 'float64')}. Return every parameter, as handed over.",
        ),
        (
            {"hear": changes_responses},
            "responses to be read only; that of round 0 was changed. Work on a copy, not in place.",
        ),
        (
            {"move": moves_at_random},
            "equal responses to bring equal moves; two equal plays differ. Seed what it draws by an argument.",
        ),
        (
            {"hear": hears_the_last_only},
            "two responses received before a move to count as their sum; in round 0 they moved it elsewhere. "
            "Add responses up in hear, and begin anew after the move.",
        ),
        ({"move": moves_its_own_memory}, f"moves not to be kept after the move; {LEFT}"),
        (
            {"state": forgets_its_velocity},
            "a loaded agent to continue exactly; its moves differ from those of the agent that was saved. "
            "Save all that the next moves depend on, apart from the parameters.",
        ),
        ({"state": saves_an_object}, f"{STATE} 'ages/old/1' is a builtins.set; {SAVED}"),
        ({"state": saves_numpy}, f"{STATE} '0/0' is a numpy.float32; {SAVED}"),
        ({"state": lends_its_velocity}, OWN),
        ({"load": keeps_what_it_loads}, OWN),
        (
            {"move": draws_in_vain},
            "the global random streams untouched; it drew from one. "
            "Draw from a torch.Generator of its own, seeded by an argument.",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else "+".join(value),
)
def test_a_broken_agent_fails_with_the_law_it_breaks(methods: dict[str, Any], text: str):
    with pytest.raises(AgentError) as caught:
        check_agent(broken(**methods))
    assert str(caught.value) == f"agent 'Broken' breaks its contract: expected {text}"


def test_an_agent_that_keeps_responses_fails():
    class Keeper(Momentum):
        """Steps by the mean of all responses heard, which it never copied."""

        def __init__(self, parameters: Tensors) -> None:
            super().__init__(parameters)
            self.responses: list[Tensors] = []

        def hear(self, response: Tensors) -> None:
            self.responses.append(response)

        def move(self) -> Tensors:
            self.heard = [sum(column, torch.zeros(())) for column in zip(*self.responses, strict=True)]
            return super().move()

    with pytest.raises(AgentError) as caught:
        check_agent(Keeper)
    assert "breaks its contract: expected responses not to be kept after the move; " + LEFT in str(caught.value)


def test_keys_and_containers_of_a_state_are_free():
    check_agent(broken(state=saves_under_numbers, load=loads_from_numbers))
