"""`perf/calibration.py`: its check against a plain loop runs, with few traces."""


def test_the_responses_are_those_of_the_plain_loop(printed):
    options = ["--traces", "4", "--frames", "40", "--thresholds", "5", "--plain", "2", "--repeats", "1"]
    assert "| threshold: 3 policies, 4 traces of 40 frames |" in printed("calibration.py", *options)
