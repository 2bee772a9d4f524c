"""`perf/streaming.py`: `endless` checks scores against one pass over the kept turns; `gpu` runs without a GPU, too."""

import re


def test_scores_are_those_of_the_kept_turns_alone(printed):
    output = printed("streaming.py", "endless", "--frames", "300", "--context-frames", "20", "--checks", "2")
    (difference,) = re.findall(r"2 scores: at most (\S+) from one pass", output)
    assert float(difference) < 1e-5


def test_every_figure_of_a_gpu_is_measured(printed):
    options = ["--model", "tiny", "--device", "cpu", "--dtype", "float32", "--frames", "20", "--rounds", "1"]
    output = printed("streaming.py", "gpu", *options, "--every", "5", "--new-tokens", "2")
    for figure in (r"ours +\d+\.\d frames/s", r"score-only +\d+\.\d frames/s", r"generation at \d+ tokens +\d+\.\d "):
        assert re.search(figure, output), output
    assert re.search(r"live latency  p50 \d+\.\d ms, p95 \d+\.\d ms a frame \(all\)", output)
