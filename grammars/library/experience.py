"""The transitions that Critic learns from: Nature plays them, and Actor is a black box (essay, section 1.3)."""

from dataclasses import dataclass

from antiphon.errors import GrammarError
from antiphon.grammars import OracleDeclaration, QueryDraft, Value


@dataclass(frozen=True)
class Experience:
    """The values of the Query graph for one batch of transitions, from which Critic learns.

    now, after: Critic's inputs at the two ends of each transition. They are (s,) and (s',) for a Critic of states, and
    (s, a) and (s', mu(s')) for a Critic of states and actions. weight: weight of each transition; empty if all count
    alike.
    """

    now: tuple[Value, ...]
    reward: Value
    after: tuple[Value, ...]
    terminated: Value
    weight: tuple[Value, ...] = ()


def experience(q: QueryDraft, nature: OracleDeclaration, actor: OracleDeclaration | None = None) -> Experience:
    """Write the part of the Query graph that asks Nature for the transitions of a round, and return their values.

    nature: sample() -> s, a, r, s', terminated and optionally weight; or observe() -> s and step(a) -> r, s',
    terminated, if there is an Actor that chooses the action. actor: the policy mu to evaluate, a black box whose first
    question takes s and answers a. Without it Critic is a function of states only.
    Raises GrammarError for a Nature without these questions.
    """
    world = q.oracle("Nature", nature)
    policy = None if actor is None else q.oracle("Actor", actor)
    if policy is not None and nature.question("observe") and nature.question("step"):
        state = world.observe()
        action, weight = policy(state), []
        reward, after, terminated = _outputs("step", 3, world.step(action))
    elif nature.question("sample"):
        state, action, reward, after, terminated, *weight = _outputs("sample", 5, world.sample())
    else:
        raise GrammarError(
            f"Nature has the questions {sorted(question.name for question in nature.questions)}; expected 'sample', or "
            "'observe' and 'step' with an Actor who chooses the action. Pass such an oracle, or an actor."
        )
    if policy is None:
        return Experience((state,), reward, (after,), terminated, tuple(weight))
    return Experience((state, action), reward, (after, policy(after)), terminated, tuple(weight))


def experience_twice(q: QueryDraft, nature: OracleDeclaration) -> tuple[Experience, Experience]:
    """Ask Nature for two independent transitions from each state, and return their values.

    An unbiased residual gradient needs two transitions. nature: pair() -> s; r, s', terminated of the first transition;
    the same three of the second transition; optionally weight. Raises GrammarError for a Nature without this question.
    """
    if nature.question("pair") is None:
        raise GrammarError(
            f"Nature has the questions {sorted(question.name for question in nature.questions)}; expected 'pair', two "
            "next states of one state, drawn apart. A world that cannot be put back into a state has no such pair: "
            "take the biased residual gradient, or another method."
        )
    state, *twice = _outputs("pair", 7, q.oracle("Nature", nature).pair())
    weight = tuple(twice[6:])
    one, two = (Experience((state,), twice[at], (twice[at + 1],), twice[at + 2], weight) for at in (0, 3))
    return one, two


def _outputs(name: str, least: int, played: Value | tuple[Value, ...]) -> list[Value]:
    values = [played] if isinstance(played, Value) else list(played)
    if not least <= len(values) <= least + (name != "step"):
        raise GrammarError(
            f"Nature's question {name!r} answers {len(values)} values; expected {least}"
            f"{' or, with weights, one more' if name != 'step' else ''} (see antiphon.grammars.library.experience). "
            "Answer these, in that order."
        )
    return values
