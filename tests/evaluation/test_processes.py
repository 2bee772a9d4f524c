"""Processes: each question is taken once, the longest videos first, and no process works much longer than another."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmduet.errors import VideoError
from mmduet.evaluation import processes
from mmduet.evaluation.benchmark import Question
from mmduet.trace import Query

lengths = st.lists(st.floats(1.0, 300.0), min_size=1, max_size=40)


def asked(count: int) -> list[Question]:
    return [Question(n, f"{n}.mp4", (Query(0.0, "What?"),)) for n in range(count)]


def share(monkeypatch: pytest.MonkeyPatch, folder: Path, durations: list[float], count: int) -> list[list[int]]:
    """The places that each process takes, where the process that is free first takes the next question."""
    questions, output = asked(len(durations)), folder / "p.jsonl"

    def read(path: Path) -> SimpleNamespace:
        if durations[int(path.stem)] < 0:
            raise VideoError("damaged")
        return SimpleNamespace(duration=durations[int(path.stem)])

    def work(rank: int) -> list[tuple[int, float]]:
        places = range(rank, len(questions), count)
        return [(place, processes._work(questions[place], folder, float)) for place in places]

    monkeypatch.setattr(processes, "read_metadata", read)
    everything = [pair for rank in range(count) for pair in work(rank)]
    monkeypatch.setattr(processes, "gather_object", lambda _: everything)
    iterators = []
    for rank in range(count):
        process = SimpleNamespace(num_processes=count, process_index=rank)
        monkeypatch.setattr(processes, "this_process", lambda process=process: process)
        monkeypatch.setattr(processes, "on_main_process", lambda action, rank=rank: action() if rank == 0 else None)
        iterators.append(iter(processes.shared(questions, folder, output, float)))
    taken: list[list[int]] = [[] for _ in range(count)]
    spent, open_ = [0.0] * count, set(range(count))
    while open_:
        free = min(open_, key=lambda rank: spent[rank])
        question = next(iterators[free], None)
        if question is None:
            open_.discard(free)
            continue
        taken[free].append(int(question.question_id))
        spent[free] += max(0.0, durations[int(question.question_id)])
    return taken


@settings(max_examples=25, deadline=None)
@given(lengths, st.integers(2, 5))
def test_each_question_is_taken_once_and_the_work_is_balanced(
    tmp_path_factory: pytest.TempPathFactory, durations: list[float], count: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        taken = share(patch, tmp_path_factory.mktemp("shares"), durations, count)
    assert sorted(place for places in taken for place in places) == list(range(len(durations)))
    spent = [sum(durations[place] for place in places) for places in taken]
    shortest = max(max(durations), sum(durations) / count)
    assert max(spent) <= 4 / 3 * max(shortest, sum(sorted(durations)[-count - 1 :][:2])), "as for longest first"
    for places in taken:
        assert [durations[place] for place in places] == sorted((durations[place] for place in places), reverse=True)


def test_a_video_that_cannot_be_read_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = share(monkeypatch, tmp_path, [-1.0, 5.0, 9.0], 2)
    assert taken[0][0] == 2
    assert sorted(place for places in taken for place in places) == [0, 1, 2]


def test_claims_of_a_killed_run_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = processes.claims_folder(tmp_path / "p.jsonl")
    folder.mkdir()
    (folder / "0").touch()
    taken = share(monkeypatch, tmp_path, [3.0, 1.0], 2)
    assert sorted(place for places in taken for place in places) == [0, 1]


def test_one_process_takes_all_in_their_order(tmp_path: Path) -> None:
    questions = asked(3)
    assert processes.shared(questions, tmp_path, tmp_path / "p.jsonl", float) is questions
    assert list(tmp_path.iterdir()) == []
