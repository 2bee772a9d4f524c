"""Cluster files: the committed example makes a job script; a mistake is one sentence."""

import signal
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from mmduet.errors import SuiteError
from mmduet.reports.cluster_file import import_jobqueue, read_cluster, start_jobs, worker_arguments

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "cluster"
with_jobqueue = pytest.mark.skipif(find_spec("dask_jobqueue") is None, reason="needs dask-jobqueue")


@with_jobqueue
def test_dask_jobqueue_does_not_take_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "dask_jobqueue"]:
        monkeypatch.delitem(sys.modules, name)
    before = signal.getsignal(signal.SIGINT)
    import_jobqueue()
    assert signal.getsignal(signal.SIGINT) is before


@with_jobqueue
def test_the_example_asks_slurm_for_one_worker_and_one_gpu_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}
    monkeypatch.setattr(import_jobqueue().SLURMCluster, "adapt", lambda _, **range_: asked.update(range_))
    cluster = start_jobs(read_cluster(EXAMPLES / "slurm.yaml"), "slurm.yaml", [])
    try:
        script = cluster.job_script()
    finally:
        cluster.close()
    assert asked == {"minimum": 0, "maximum": 8}
    assert "#SBATCH --gres=gpu:1" in script
    assert "--nthreads 1 --resources gpu=1,memory=64000000000" in script
    assert "export DASK_DISTRIBUTED__NANNY__PRE_SPAWN_ENVIRON__OMP_NUM_THREADS=8" in script


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: slurmm\njobs: 1", "kind is 'slurmm', but input should be 'htcondor'"),
        ("kind: slurm\njobs: 0", "jobs"),
        ("kind: slurm\njobs: {minimum: 3, maximum: 2}", "minimum 3 is above maximum 2"),
        ("kind: slurm", "jobs is .*field required; the keys are kind, jobs, resources and options"),
        ("kind: slurm\njobs: 1\nresources: {memory: 5}", "give a number with a unit"),
        ("- a", "the file is"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    with pytest.raises(SuiteError, match=message):
        read_cluster(path)


@with_jobqueue
def test_an_option_that_the_engine_refuses(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text("kind: slurm\njobs: 1\noptions: {cores: 1, memory: 1GB, quue: gpu}")
    with pytest.raises(SuiteError, match=r"slurm refuses the options \(.*quue.*\): correct them"):
        start_jobs(read_cluster(path), path, [])


def test_a_worker_without_resources(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text("kind: pbs\njobs: 2")
    assert worker_arguments(read_cluster(path)) == ["--nthreads", "1"]
