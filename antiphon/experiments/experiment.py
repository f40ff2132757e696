"""An experiment as a value: which grammar, how long, on what, with which agents. Equal ones play equal runs."""

import functools
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, create_model

from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator.plan.placement import Placement
from antiphon.errors import FOREIGN, AntiphonError, ExperimentError, GrammarError
from antiphon.experiments.placement_table import PlacementTable
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.seeds import forked
from antiphon.plugins import GRAMMARS, find, nearest
from antiphon.recipes import recipe_of
from antiphon.recipes.common.recipe import Recipe
from antiphon.recipes.common.tables import AgentTable, Arguments, Count, EvaluationTable, Index, Seconds, Table


class Experiment(Table):
    """grammar: of the library or an installed recipe, with a table of its own (see `kind_of`); or "module:factory" or
    an installed function, called with `arguments`.

    rounds_per_report: a batch, after which metrics are written. checkpoint_every: in rounds; the newest
    keep_checkpoints stay. on_nonfinite: whether a run fails whose loss or parameters become NaN or infinite. deadline:
    seconds that a message may take. threads: torch's, on each worker.
    placement: who lives where on Ray, and with what. players: what differs from `agent`, by player.
    """

    grammar: str
    rounds: Count = 1000
    seed: Index = 0
    executor: Literal["inline", "ray"] = "inline"
    transport: Literal["process-group", "object-store"] = "process-group"
    threads: Count = 1
    deadline: Seconds = 30.0
    rounds_per_report: Count = 100
    checkpoint_every: Count = 5000
    keep_checkpoints: Count = 2
    on_nonfinite: Literal["fail", "continue"] = "fail"
    agent: AgentTable = AgentTable()
    players: dict[str, AgentTable] = Field(default={})
    placement: PlacementTable = PlacementTable()
    evaluation: EvaluationTable = EvaluationTable()
    arguments: Arguments = Field(default={})

    @property
    def recipe(self) -> Recipe | None:
        """What is known of the grammar; None for a user's function."""
        return recipe_of(self.grammar)

    @property
    def table(self) -> Any:
        """The grammar's own table; None for a user's own function. Any: each grammar has another."""
        return getattr(self, self.recipe.key) if self.recipe else None

    def build(self) -> Grammar:
        """The grammar. Raises what refuses it; GrammarError for a user's function that makes none.

        What a user's function draws from a global random stream is the same in every process.
        """
        with forked():
            if self.recipe is not None:
                return self.recipe.build(self.table)
            return own_grammar(self.grammar, self.arguments)

    def agents(self, grammar: Grammar) -> dict[str, AgentSpecification]:
        """The agent of every player. Raises ExperimentError for a player that the grammar does not have."""
        return {name: _specification(name, table) for name, table in self.agent_tables(grammar).items()}

    def placed(self, grammar: Grammar) -> Placement:
        """Who lives where on Ray. Raises PlacementError for names of nobody, and for what contradicts itself."""
        return self.placement.placement(grammar)

    def agent_tables(self, grammar: Grammar) -> dict[str, AgentTable]:
        """`agent`, and over it each player's own table."""
        names = [player.name for player in grammar.query.players]
        for name in self.players:
            if name not in names:
                raise ExperimentError(
                    f"key 'players.{name}' is of nobody: grammar {grammar.name!r} has the players "
                    f"{', '.join(names)}. {nearest(name, names)}Correct the name."
                )
        return {name: self.agent.overridden(self.players.get(name, AgentTable())) for name in names}


@functools.cache
def kind_of(recipe: Recipe) -> type[Experiment]:
    """Experiments with a grammar that has a table of its own, under its key."""
    own: Any = (recipe.table, Field(default_factory=recipe.table))  # Any: as pydantic has it
    return create_model("Experiment", __base__=Experiment, **{recipe.key: own})


def _specification(player: str, table: AgentTable) -> AgentSpecification:
    try:
        return table.specification()
    except ExperimentError as error:
        error.add_note(f"player {player!r}, keys 'agent' and 'players.{player}'")
        raise


def own_grammar(name: str, arguments: Mapping[str, Any]) -> Grammar:
    """The grammar that a user's function makes of these arguments. Any: they are the function's own.

    name: `module:factory`, or an installed one.
    Raises ExperimentError for a function that is not found, GrammarError for one that makes no grammar.
    """
    factory = find("grammar", name, GRAMMARS)
    try:
        grammar = factory(**arguments)
    except AntiphonError:
        raise
    except FOREIGN as error:  # a user's function may do anything
        raise GrammarError(
            f"grammar {name!r} cannot be made from the arguments {dict(arguments)}: {type(error).__name__}: {error}. "
            "Expected a function that returns a grammar; correct it, or the table [arguments]."
        ) from error
    if not isinstance(grammar, Grammar):
        raise GrammarError(
            f"grammar {name!r} returned a {type(grammar).__name__}; expected an antiphon.Grammar. "
            "Return Grammar(name, query, response, objective, guarantee)."
        )
    return grammar
