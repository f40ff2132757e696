"""The class `Experiment`: all settings of a run (grammar, agents, rounds, executor, placement)."""

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, create_model

from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator.plan.assignment import OnNonfinite, assign
from antiphon.coordinator.plan.figures import figures_of
from antiphon.coordinator.plan.placement import Placement, together
from antiphon.coordinator.plan.schedule import Schedule
from antiphon.coordinator.plan.step_order import OrderName
from antiphon.errors import ExperimentError, GrammarError
from antiphon.experiments.placement_table import PlacementTable
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.seeds import forked
from antiphon.launching import ChecksumChoice, Launched, launch
from antiphon.plugins import GRAMMARS, made, nearest
from antiphon.recipes import recipe_of
from antiphon.recipes.common.recipe import Recipe
from antiphon.recipes.common.tables import AgentTable, Ages, Arguments, Count, EvaluationTable, Index, Seconds, Table


class Experiment(Table):
    """All settings of an experiment. Equal experiments give equal runs.

    grammar: name of a grammar of the library or of a plugin, whose own settings are a further field; or
    "module:factory" for a user's function, which is called with `arguments`.
    deadline: largest time to wait for a message, in seconds. checksum: which messages between workers carry a CRC32C:
    true (all), false (none), or "between-machines". threads: number of torch threads of each worker.
    max_recoveries: on Ray, how often in an hour the run may continue from its last checkpoint after the death or the
    stall of a process. With 0, the first failure ends the run.
    rounds_per_report: number of rounds in a batch; metrics are written after each batch.
    checkpoint_every, checkpoint_every_seconds: rounds and seconds after which a checkpoint is written, whichever comes
    first. checkpoint_folder: where, as an address of fsspec; empty is the run folder. keep_checkpoints: number of
    newest checkpoints to keep. keep_best: name of a metric whose best checkpoint is kept too, such as "losses/Loss".
    best_is: whether its best value is the lowest or the highest. With `evaluation.every`, the checkpoint with the best
    evaluation during training is kept as well.
    on_nonfinite: what happens if a value becomes NaN or infinite. "fail" ends the run. "skip-round" leaves out all
    moves of that round. "clip" replaces the value by a finite number. "warn" goes on with it. See docs/rounds.md.
    agent: settings of every player's agent (optimizer). players: settings that differ for single players, by name.
    placement: the workers on Ray and their resources.
    order: the pipeline schedule of a round; by default "zero-bubble" on several workers, else "gpipe".
    microbatches: number of micro-batches into which a round divides the batch.
    staleness: how many rounds old the parameters of queries are: a number, or a table with one for each pass of the
    Query graph (`staleness.act = 1`). Rounds then overlap.
    """

    grammar: str
    rounds: Count = 1000
    seed: Index = 0
    executor: Literal["inline", "ray"] = "inline"
    transport: Literal["process-group", "object-store"] = "process-group"
    threads: Count = 1
    order: OrderName | None = None
    microbatches: Count = 1
    staleness: Ages = 0
    deadline: Seconds = 30.0
    checksum: ChecksumChoice = "between-machines"
    max_recoveries: Index = 20
    rounds_per_report: Count = 100
    checkpoint_every: Count = 5000
    checkpoint_every_seconds: Seconds = 60.0
    checkpoint_folder: str = ""
    keep_checkpoints: Count = 2
    keep_best: str = ""
    best_is: Literal["lowest", "highest"] = "lowest"
    on_nonfinite: OnNonfinite = "fail"
    agent: AgentTable = AgentTable()
    players: dict[str, AgentTable] = Field(default={})
    placement: PlacementTable = PlacementTable()
    evaluation: EvaluationTable = EvaluationTable()
    arguments: Arguments = Field(default={})

    @property
    def recipe(self) -> Recipe | None:
        """The recipe of the grammar (how to build and evaluate it); None if a user's function makes the grammar."""
        return recipe_of(self.grammar)

    @property
    def table(self) -> Any:
        """The grammar's own settings; None if the grammar is made by a user's function.

        Their type depends on the grammar.
        """
        return getattr(self, self.recipe.key) if self.recipe else None

    def build(self) -> Grammar:
        """Build the grammar of the experiment.

        During the call the global random streams have fixed seeds, so that a user's function draws the same numbers in
        every process.
        Raises AntiphonError if this fails; GrammarError if a user's function returns no grammar.
        """
        with forked():
            if self.recipe is not None:
                return self.recipe.build(self.table)
            return own_grammar(self.grammar, self.arguments)

    def agents(self, grammar: Grammar) -> dict[str, AgentSpecification]:
        """Return the specification of every player's agent (optimizer), by player.

        Raises ExperimentError if the settings name a player that the grammar does not have.
        """
        return {name: _specification(name, table) for name, table in self.agent_tables(grammar).items()}

    def placed(self, grammar: Grammar) -> Placement:
        """Return the placement on Ray: which worker holds which players, and with which resources.

        Raises PlacementError for unknown names and for contradictions.
        """
        return self.placement.placement(grammar)

    def placed_to_run(self, grammar: Grammar) -> Placement:
        """Return the placement of a run: that of `placed` on Ray, and one worker for everything inline.

        Inline, the settings of players that do not depend on workers still count: precision, recomputed queries, and
        whether a batch may be divided although its examples influence each other.
        """
        placement = self.placed(grammar)
        if self.executor == "ray":
            return placement
        precision, recomputed, coupled = placement.precision, placement.recomputed, placement.coupled
        return replace(together(grammar), precision=precision, recomputed=recomputed, coupled=coupled)

    def schedule(self, grammar: Grammar, agents: Mapping[str, AgentSpecification]) -> Schedule:
        """Return the schedule of a round on Ray: the steps of each worker in order.

        Raises PlacementError for a placement that is not possible.
        """
        settings = {"order": self.order, "microbatches": self.microbatches, "staleness": self.staleness}
        settings |= {"on_nonfinite": self.on_nonfinite}
        return assign(grammar, agents, placement=self.placed(grammar), **settings).schedule

    def launch(
        self, grammar: Grammar, agents: Mapping[str, AgentSpecification], placement: Placement | None, **more: Any
    ) -> Launched:  # Any: further arguments of `launch`
        """Launch the grammar with this experiment's executor, transport, seed, threads, step order and deadline.

        The reports of players get the figures that the recipe names, and the norms of gradients.
        """
        figures = figures_of(grammar, self.recipe.figures if self.recipe else {})
        return launch(
            grammar,
            agents,
            executor=self.executor,
            transport=self.transport,
            seed=self.seed,
            placement=placement,
            threads=self.threads,
            order=self.order,
            microbatches=self.microbatches,
            staleness=self.staleness,
            deadline=self.deadline,
            on_nonfinite=self.on_nonfinite,
            checksum=self.checksum,
            max_recoveries=self.max_recoveries,
            figures=figures,
            **more,
        )

    def agent_tables(self, grammar: Grammar) -> dict[str, AgentTable]:
        """Return the agent settings of every player, by name.

        They are the common settings `agent`, changed by the settings in `players` for that player.
        Raises ExperimentError if `players` names a player that the grammar does not have.
        """
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
    """Return the subclass of `Experiment` for a grammar: it has the grammar's own settings as a further field."""
    own: Any = (recipe.table, Field(default_factory=recipe.table))  # Any: the type of pydantic's field definitions
    return create_model("Experiment", __base__=Experiment, **{recipe.key: own})


def _specification(player: str, table: AgentTable) -> AgentSpecification:
    try:
        return table.specification()
    except ExperimentError as error:
        error.add_note(f"player {player!r}, keys 'agent' and 'players.{player}'")
        raise


def own_grammar(name: str, arguments: Mapping[str, Any]) -> Grammar:
    """Call a user's function that makes a grammar, and return the grammar.

    name: `module:factory`, or the name of a plugin's function. arguments: keyword arguments of the function.
    Raises ExperimentError if the function is not found, GrammarError if it fails or returns no grammar.
    """
    grammar = made("grammar", name, arguments, GRAMMARS, GrammarError, "the table [arguments]")
    if not isinstance(grammar, Grammar):
        raise GrammarError(
            f"grammar {name!r} returned a {type(grammar).__name__}; expected an antiphon.Grammar. "
            "Return Grammar(name, query, response, objective, guarantee)."
        )
    return grammar
