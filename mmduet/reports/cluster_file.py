"""Cluster file: a YAML file that says which jobs of Slurm, PBS, … or Kubernetes are the workers of a suite."""

import signal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from mmduet.errors import AnnotationError, SuiteError
from mmduet.files import read_yaml
from mmduet.reports.resources import Resources
from mmduet.system.interrupts import handling

JOBQUEUE = {
    "htcondor": "HTCondorCluster",
    "lsf": "LSFCluster",
    "moab": "MoabCluster",
    "oar": "OARCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "slurm": "SLURMCluster",
}
Kind = Literal["htcondor", "lsf", "moab", "oar", "pbs", "sge", "slurm", "kubernetes"]


class Range(BaseModel):
    """Jobs that come and go with the runs that are left."""

    model_config = ConfigDict(extra="forbid", strict=True)

    minimum: Annotated[int, Field(ge=0)] = 0
    maximum: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")
        return self


class ClusterFile(BaseModel):
    """The content of the file.

    Attributes:
        kind: The engine that starts the workers.
        jobs: Number of jobs, each of which is one worker; or minimum and maximum.
        resources: What one worker has.
        options: Arguments of the class of dask-jobqueue or dask-kubernetes, such as queue, cores and walltime.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Kind
    jobs: Annotated[int, Field(ge=1)] | Range
    resources: Resources = Resources()
    options: dict[str, JsonValue] = {}


def read_cluster(path: Path | str) -> ClusterFile:
    """Read and check a cluster file.

    Raises:
        SuiteError: The message names the file, the key, the value and the rule.
    """
    try:
        return ClusterFile.model_validate(read_yaml(path))
    except AnnotationError as error:
        raise SuiteError(str(error)) from error
    except ValidationError as error:
        errors = error.errors()
        first = next((found for found in errors if found["type"] == "value_error"), errors[0])
        key = ".".join(str(part) for part in first["loc"] if part not in ("constrained-int", "Range")) or "the file"
        raise SuiteError(
            f"{path}: {key} is {first['input']!r:.80}, but {first['msg'][:1].lower()}{first['msg'][1:]}; the keys are "
            "kind, jobs, resources and options"
        ) from error


def import_jobqueue() -> Any:
    """Import dask-jobqueue, but not the handler of Ctrl-C that its import sets: that would end a notebook's kernel."""
    with handling({signal.SIGINT: signal.default_int_handler}):
        import dask_jobqueue
    return dask_jobqueue


def start_jobs(written: ClusterFile, path: Path | str, refused: list[str]) -> Any:
    """Start the scheduler in this process and ask the engine for the jobs.

    Args:
        written: What the file says.
        path: The file, for messages.
        refused: Gets the reason if a job cannot be submitted and no other was. That is later, on another thread.

    Returns:
        Dask's cluster.

    Raises:
        SuiteError: The engine's package is missing, or it refuses an option.
    """
    try:
        if written.kind == "kubernetes":
            from dask_kubernetes.operator import KubeCluster as kind

            given = {**written.options, "worker_command": ["dask", "worker", *worker_arguments(written)]}
        else:
            kind = getattr(import_jobqueue(), JOBQUEUE[written.kind])
            extra = written.options.get("worker_extra_args", [])
            arguments = [*(extra if isinstance(extra, list) else [extra]), *worker_arguments(written)]
            given = {"processes": 1, **written.options, "worker_extra_args": arguments}
            given["job_cls"] = _watched(kind.job_cls, refused)
        cluster = kind(**given)
    except ImportError as error:
        package = "dask-kubernetes" if written.kind == "kubernetes" else "mmduet-workbench[cluster]"
        raise SuiteError(f"{path} asks for {written.kind}: pip install '{package}' ({error})") from error
    except (TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise SuiteError(f"{path}: {written.kind} refuses the options ({reason}): correct them") from error
    if isinstance(written.jobs, Range):
        cluster.adapt(minimum=written.jobs.minimum, maximum=written.jobs.maximum)
    else:
        cluster.scale(written.jobs)
    return cluster


def _watched(job: Any, refused: list[str]) -> Any:
    """The class of a job that notes why it cannot be submitted. Dask would print a traceback, and wait for ever."""
    from distributed.core import Status

    submitted: list[str] = []

    class Watched(job):  # type: ignore[misc]
        async def start(self) -> None:
            try:
                await super().start()
            except (OSError, RuntimeError) as error:
                self.status = Status.running  # else Dask breaks off
                if not submitted:  # a queue may take fewer jobs than are asked for
                    refused.append(_reason(error, self.submit_command))
            else:
                submitted.append(self.job_id)
                refused.clear()

    return Watched


def _reason(error: Exception, command: str) -> str:
    """What the engine's command printed last, for a message."""
    if isinstance(error, FileNotFoundError):
        return f"{command} is not on this machine"
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), command)


def worker_arguments(written: ClusterFile) -> list[str]:
    """The arguments of `dask worker` that let it perform one run at a time, and declare its resources."""
    amounts = [f"{name}={amount:.0f}" for name, amount in written.resources.amounts.items()]
    return ["--nthreads", "1", *(["--resources", ",".join(amounts)] if amounts else [])]
