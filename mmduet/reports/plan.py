"""Plan: what a suite will run, in which order, and what is done already."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmduet.errors import SuiteError
from mmduet.reports.credentials import without_credentials
from mmduet.reports.notebooks import read_notebook
from mmduet.reports.records import RunRecord, fingerprint
from mmduet.reports.resources import shown_amounts
from mmduet.reports.slots import Slot
from mmduet.reports.suite import Run, Suite


@dataclass(frozen=True)
class Step:
    """One run of the plan.

    Attributes:
        number: Its place in the plan, from 1.
        run: The run, with complete parameters.
        source: Its notebook.
        fingerprint: A hash of all that decides the run, with that of the runs that it comes after.
        record: The record of its report, if the run is done and unchanged.
    """

    number: int
    run: Run
    source: Any
    fingerprint: str
    record: RunRecord | None


def make_plan(suite: Suite, folder: Path, runs: Sequence[Run], *, force: bool = False) -> list[Step]:
    """Put the runs in order, and look up what is done. Nothing is written.

    Args:
        suite: The suite.
        folder: The folder of its reports.
        runs: Its runs with complete parameters.
        force: Count nothing as done.

    Raises:
        SuiteError: Runs come after each other in a circle, or a notebook is missing.
    """
    steps: dict[str, Step] = {}
    for number, run in enumerate(in_order(runs, suite.path), 1):
        source = read_notebook(suite.root / run.notebook)
        decisive = _chained(fingerprint(source, run.parameters), [steps[name].fingerprint for name in run.needs])
        record = None if force else Slot(folder, run.name).record()
        same = record if record and record.fingerprint == decisive else None
        steps[run.name] = Step(number, run, source, decisive, same)
    return list(steps.values())


def in_order(runs: Sequence[Run], path: Path) -> list[Run]:
    """The runs in the suite's order, each after the runs that it needs.

    Raises:
        SuiteError: Runs come after each other in a circle.
    """
    ordered: dict[str, Run] = {}
    left = list(runs)
    while left:
        ready = next((run for run in left if all(name in ordered for name in run.needs)), None)
        if ready is None:
            circle = " → ".join(_circle({run.name: run for run in left}))
            raise SuiteError(f"{path}: these runs come after each other ({circle}): remove one `after`")
        ordered[ready.name] = ready
        left.remove(ready)
    return list(ordered.values())


@dataclass
class Progress:
    """Which steps are open, running and ended while a plan is carried out."""

    steps: list[Step]
    submitted: set[str] = field(default_factory=set)
    good: set[str] = field(default_factory=set)
    bad: set[str] = field(default_factory=set)

    @property
    def is_over(self) -> bool:
        """Whether every step has ended."""
        return len(self.good) + len(self.bad) == len(self.steps)

    def ready(self) -> list[Step]:
        """The steps that can start now. They count as submitted."""
        ready = [
            step
            for step in self.steps
            if step.run.name not in self.submitted | self.good | self.bad and self.good.issuperset(step.run.needs)
        ]
        self.submitted.update(step.run.name for step in ready)
        return ready

    def blocked(self) -> list[tuple[Step, str]]:
        """The steps that can never start, each with the failed run that it needs. They count as ended."""
        found = []
        for step in self.steps:
            failed = next((name for name in step.run.needs if name in self.bad), None)
            if failed and step.run.name not in self.bad:
                self.bad.add(step.run.name)
                found.append((step, failed))
        return found

    def end(self, name: str, *, good: bool) -> None:
        """Note that a step has ended."""
        self.submitted.discard(name)
        (self.good if good else self.bad).add(name)


def plan_lines(steps: Iterable[Step]) -> list[str]:
    """The plan for reading: a line for each run, and a line that sums up."""
    steps = list(steps)
    lines = []
    for step in steps:
        run = step.run
        state = "done, unchanged" if step.record else "to run"
        words = [f"{run.name}: {run.notebook} {json.dumps(without_credentials(dict(run.parameters)))}"]
        words += [f"after {', '.join(run.needs)}"] if run.needs else []
        words += [f"needs {shown_amounts(run.resources.amounts)}"] if run.resources.amounts else []
        lines.append("; ".join([*words, state]))
    return lines


def _chained(own: str, needed: Sequence[str]) -> str:
    return hashlib.sha256("/".join([own, *needed]).encode()).hexdigest() if needed else own


def _circle(left: dict[str, Run]) -> list[str]:
    """The names of one circle among runs of which each waits for another."""
    seen: list[str] = []
    name = next(iter(left))
    while name not in seen:
        seen.append(name)
        name = next(needed for needed in left[name].needs if needed in left)
    return [*seen[seen.index(name) :], name]
