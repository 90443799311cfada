"""From a scenario's name to what of it is run here, for how long: everything that is known before anything is made."""

from __future__ import annotations

from dataclasses import dataclass

from daemon.config.files import Read
from daemon.lab.possible import Machine, Refusal, names_faults, refusals, without
from daemon.lab.shorter import shortened, span_ms
from daemon.scenarios.meaning import scenario_of
from daemon.scenarios.shipped import read_file
from daemon.scenarios.tables import ScenarioFile
from protocol.errors import OperatorFault
from protocol.sim.scenarios import Scenario


class NotPossible(OperatorFault):
    """The scenario asks for what is not made here."""

    def __init__(self, name: str, refused: list[Refusal]) -> None:
        listed = "\n".join(f"    {refusal}" for refusal in refused)
        super().__init__(f"the lab cannot run {name}:\n{listed}\nRun it in the simulator, or the rest with --lenient.")
        self.refused = refused


@dataclass(frozen=True, slots=True)
class Prepared:
    """A scenario that can be run here. factor: by which its waiting is divided. left_out: what is not run of it."""

    scenario: Scenario
    factor: int
    left_out: list[Refusal]

    @property
    def nodes(self) -> int:
        """Validators and observers."""
        return self.scenario.members + self.scenario.observers

    @property
    def span_ms(self) -> int:
        """From the start of the nodes' work to the end of the last fault."""
        return span_ms(self.scenario)


def prepare(
    name_or_file: str, *, members: int | None, seconds: int | None, lenient: bool, machine: Machine
) -> Prepared:
    """Read a scenario for this machine.

    members: in place of its own number. seconds: at most so long. lenient: leave out what cannot be made.
    Raises ConfigurationFault, NotPossible, OperatorFault.
    """
    name, found = read_file(name_or_file)
    value: ScenarioFile = found.value
    if members is not None:
        value = value.model_copy(update={"members": members})
    scenario_of(Read(found.source, value, found.problems), name, name_or_file)  # as a whole it has to have a sense
    refused = refusals(value, machine)
    kept = without(value, refused)
    if refused and (not lenient or refusals(kept, machine)):  # nodes too many are not left out
        raise NotPossible(name, refused)
    if names_faults(value) and not names_faults(kept):
        raise OperatorFault(f"nothing of {name} is left to run here: {'; '.join(map(str, refused))}")
    scenario = scenario_of(Read(found.source, kept, ()), name, name_or_file)
    if seconds is None:
        return Prepared(scenario, 1, refused)
    shorter, factor = shortened(scenario, seconds * 1000)
    return Prepared(shorter, factor, refused)
