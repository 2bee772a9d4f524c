"""Benchmarks: one module a benchmark, with a room beside it where it needs one, and the built-in ones by name."""

from mmduet.evaluation.benchmark import Benchmark
from mmduet.evaluation.benchmarks.charades_sta import CHARADES_STA
from mmduet.evaluation.benchmarks.magqa import MAGQA
from mmduet.evaluation.benchmarks.ovobench import OVOBENCH
from mmduet.evaluation.benchmarks.ovobench_online import OVOBENCH_ONLINE
from mmduet.evaluation.benchmarks.proactivevideoqa import PROACTIVEVIDEOQA
from mmduet.evaluation.benchmarks.qvhighlights import QVHIGHLIGHTS
from mmduet.evaluation.benchmarks.streamingbench import STREAMINGBENCH
from mmduet.evaluation.benchmarks.youcook2 import YOUCOOK2
from mmduet.system.objects import find_object

BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        YOUCOOK2, MAGQA, CHARADES_STA, QVHIGHLIGHTS, PROACTIVEVIDEOQA, OVOBENCH, OVOBENCH_ONLINE, STREAMINGBENCH,
    )
}  # fmt: skip

__all__ = [
    "BENCHMARKS", "CHARADES_STA", "MAGQA", "OVOBENCH", "OVOBENCH_ONLINE", "PROACTIVEVIDEOQA", "QVHIGHLIGHTS",
    "STREAMINGBENCH", "YOUCOOK2", "find_benchmark",
]  # fmt: skip


def find_benchmark(benchmark: str | Benchmark) -> Benchmark:
    """A benchmark by its name, or a user's own by ``module:OBJECT``; a `Benchmark` is returned as it is.

    Raises:
        DuetError: The name is not known; the message lists the known ones.
    """
    if isinstance(benchmark, Benchmark):
        return benchmark
    return find_object(benchmark, BENCHMARKS, Benchmark, argument="benchmark")
