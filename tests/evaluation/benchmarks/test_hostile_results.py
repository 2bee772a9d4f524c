"""Damaged files of OVO-Bench, StreamingBench and lmms-eval: readers and scores end well or in a DuetError."""

import json
import warnings

import pytest

from mmduet.errors import DuetError
from mmduet.evaluation import read_questions, read_references
from mmduet.evaluation.benchmarks import (
    CHARADES_STA,
    OVOBENCH,
    OVOBENCH_ONLINE,
    STREAMINGBENCH,
    charades_sta,
    ovobench,
    streamingbench,
)
from mmduet.evaluation.benchmarks.ovo.results import results_of
from tests.evaluation.benchmarks.test_charades_log import line
from tests.evaluation.benchmarks.test_ovobench import ENTRIES, MIXED, result_file
from tests.evaluation.benchmarks.test_streamingbench import ENTRY, QUESTION, polled
from tests.mutations import bounded, mutants

POLLED = ENTRY | {"questions": [polled(QUESTION, (69, "Yes"), (69, "Cup"), answered=69)]}


def read_annotations(path):
    for benchmark in (OVOBENCH, OVOBENCH_ONLINE):
        read_references(path, benchmark)
        read_questions(path, benchmark)


def read_results(path):
    path.with_name("anno.json").write_text(json.dumps(ENTRIES))
    items = read_references(path.with_name("anno.json"), OVOBENCH)
    found = OVOBENCH.read_predictions(path, items).by_id
    for rule in ("upstream", "corrected", "lmms-eval"):
        ovobench.evaluate(found, items, rule=rule)
    results_of(found, items, wait=1.0)


def read_polled(path):
    items = read_references(path, STREAMINGBENCH)
    streamingbench.evaluate(STREAMINGBENCH.read_predictions(path, items).by_id, items)


def read_log(path):
    items = read_references(path, CHARADES_STA)
    charades_sta.evaluate(CHARADES_STA.read_predictions(path, items).by_id, items)


FORMS = {
    "anno.json": (ENTRIES, read_annotations),
    "results.json": (result_file(*MIXED), read_results),
    "polled.json": ([POLLED], read_polled),
    "log.jsonl": (line(0, "2 - 6"), read_log),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_damaged_file_ends_well_or_in_one_sentence(name, tmp_path):
    value, read = FORMS[name]
    ends = {"read": 0, "refused": 0}
    path = tmp_path / name
    for content in mutants(json.dumps(value).encode(), 250, seed=0):
        path.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of means of nothing
            with bounded():
                try:
                    read(path)
                except DuetError:
                    ends["refused"] += 1
                else:
                    ends["read"] += 1
    assert min(ends.values()) > 10, "both occur"
