"""An experiment as a value: grammar, agents, rounds, executor, placement. Equal experiments give equal runs."""

import functools
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, create_model

from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator.plan.placement import Placement
from antiphon.errors import ExperimentError, GrammarError
from antiphon.experiments.placement_table import PlacementTable
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.seeds import forked
from antiphon.launching import Launched, launch
from antiphon.plugins import GRAMMARS, made, nearest
from antiphon.recipes import recipe_of
from antiphon.recipes.common.recipe import Recipe
from antiphon.recipes.common.tables import AgentTable, Arguments, Count, EvaluationTable, Index, Seconds, Table


class Experiment(Table):
    """The keys of an experiment.

    grammar: a library grammar or an installed recipe, with its own table (see `kind_of`); or "module:factory" or an
    installed function, which is called with `arguments`. rounds_per_report: metrics are written after each batch of
    so many rounds. checkpoint_every: in rounds. keep_checkpoints: how many of the newest checkpoints are kept.
    on_nonfinite: "fail" ends the run when a loss or a parameter becomes NaN or infinite. deadline: seconds per message.
    threads: torch threads of each worker. agent: the agent of every player; players: differences from it, by player.
    placement: the workers on Ray and their resources.
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
        """The recipe of the grammar; None for a user's function."""
        return recipe_of(self.grammar)

    @property
    def table(self) -> Any:
        """The grammar's own table; None for a user's function. Any: its type depends on the grammar."""
        return getattr(self, self.recipe.key) if self.recipe else None

    def build(self) -> Grammar:
        """Build the grammar. Raises AntiphonError if that fails; GrammarError if a user's function returns no grammar.

        Global random streams have fixed seeds meanwhile, so that a user's function draws the same in every process.
        """
        with forked():
            if self.recipe is not None:
                return self.recipe.build(self.table)
            return own_grammar(self.grammar, self.arguments)

    def agents(self, grammar: Grammar) -> dict[str, AgentSpecification]:
        """The agent of every player. Raises ExperimentError for a player that the grammar does not have."""
        return {name: _specification(name, table) for name, table in self.agent_tables(grammar).items()}

    def placed(self, grammar: Grammar) -> Placement:
        """The placement on Ray. Raises PlacementError for unknown names and for contradictions."""
        return self.placement.placement(grammar)

    def launch(
        self, grammar: Grammar, agents: Mapping[str, AgentSpecification], placement: Placement | None, **more: Any
    ) -> Launched:  # Any: further arguments of `launch`
        """Launch the grammar as this experiment says: executor, transport, seed, threads, deadline."""
        return launch(
            grammar,
            agents,
            executor=self.executor,
            transport=self.transport,
            seed=self.seed,
            placement=placement,
            threads=self.threads,
            deadline=self.deadline,
            **more,
        )

    def agent_tables(self, grammar: Grammar) -> dict[str, AgentTable]:
        """The agent table of every player: `agent`, overridden by the player's own table."""
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
    """The class of experiments with this recipe's grammar. It has the recipe's table as a further field."""
    own: Any = (recipe.table, Field(default_factory=recipe.table))  # Any: the type of pydantic's field definitions
    return create_model("Experiment", __base__=Experiment, **{recipe.key: own})


def _specification(player: str, table: AgentTable) -> AgentSpecification:
    try:
        return table.specification()
    except ExperimentError as error:
        error.add_note(f"player {player!r}, keys 'agent' and 'players.{player}'")
        raise


def own_grammar(name: str, arguments: Mapping[str, Any]) -> Grammar:
    """Call a user's function with these arguments and return its grammar. Any: the arguments are the user's.

    name: `module:factory`, or the name of an installed function.
    Raises ExperimentError if the function is not found, GrammarError if it fails or returns no grammar.
    """
    grammar = made("grammar", name, arguments, GRAMMARS, GrammarError, "the table [arguments]")
    if not isinstance(grammar, Grammar):
        raise GrammarError(
            f"grammar {name!r} returned a {type(grammar).__name__}; expected an antiphon.Grammar. "
            "Return Grammar(name, query, response, objective, guarantee)."
        )
    return grammar
