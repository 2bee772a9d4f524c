"""Files that runs resume from, damaged in any way: the run resumes, begins again, or says in one sentence why not."""

import json
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from mmduet.data.metadata import load_metadata, scan_videos
from mmduet.data.scenes import make_scenes
from mmduet.errors import DuetError
from mmduet.evaluation.prediction_file import begin, check_output, part_path, put_in_order, settings_path
from mmduet.files import MANIFEST
from mmduet.training.checkpointing import find_start
from mmduet.training.resuming import PROGRESS, WINDOW
from tests.mutations import mutants

SECONDS, BYTES = 5, 500e6
MUTANTS = int(os.environ.get("MMDUET_MUTANTS", "40"))  # of each file
STATED = {"settings": {"threshold": 0.5}, "model": "tiny"}
QUESTION = {"video": "a.mp4", "queries": [{"time": 0.0, "text": "What?"}]}
LINES = [
    {
        "question_id": n,
        "video_duration": 2.0,
        "debug_data": [{"time": 0.0, "informative_score": 0.1, "relevance_score": 0.2}],
        "model_response_list": [{"role": "user", "content": "What?", "time": 0}],
        "asked": QUESTION,
    }
    for n in range(3)
]
PROGRESS_OF_2 = {
    "global_step": 2, "epoch": 1.0, "log_history": [{"loss": 0.5, "step": 2}], "best_metric": None,
    "stateful_callbacks": {"TrainerControl": {"args": {}, "attributes": {}}},
}  # fmt: skip


def lines(values: list) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def make_prediction(folder: Path) -> None:
    (folder / "p.jsonl").write_text(lines(LINES))
    settings_path(folder / "p.jsonl").write_text(json.dumps(STATED))
    (part_path(folder / "p.jsonl", 1)).write_text(lines(LINES))


def resume_prediction(folder: Path) -> None:
    check_output(folder / "p.jsonl")
    asked = {str(n): QUESTION for n in range(4)}
    with begin(folder / "p.jsonl", STATED, asked) as file:
        put_in_order(file, folder / "p.jsonl", list(asked))


def make_scan(folder: Path) -> None:
    (folder / "videos").mkdir()
    (folder / "videos" / "a.mp4").write_bytes(b"no video")
    scan_videos(folder / "videos", folder / "m.json", workers=1)
    row = json.loads((folder / "m.broken.json").read_text())["a.mp4"]
    (folder / "m.json").write_text(json.dumps({"a.mp4": row | {"duration": 2.0, "fps": 12.0}}))
    (folder / ".m.json.journal").write_text(lines([["a.mp4", row]] * 3))


def resume_scan(folder: Path) -> None:
    scan_videos(folder / "videos", folder / "m.json", workers=1)
    load_metadata(folder / "videos", folder / "m.json")


def make_training(folder: Path) -> None:
    newest = folder / "checkpoint-2"
    newest.mkdir()
    (newest / WINDOW).write_text(json.dumps({"parts": [[0.5, 1], [0.1, 1]], "loss": 0.6, "logged": 1}))
    (newest / PROGRESS).write_text(json.dumps(PROGRESS_OF_2))
    (newest / MANIFEST).write_text(json.dumps({path.name: path.stat().st_size for path in newest.iterdir()}))
    (folder / "run.json").write_text(json.dumps({"identity": {"steps": 2}, "alignment": [0.5]}))


def resume_training(folder: Path) -> None:
    for path in folder.glob("checkpoint-*"):  # a change in size alone is noticed by the manifest
        sizes = {found.name: found.stat().st_size for found in path.iterdir() if found.name != MANIFEST}
        if (path / MANIFEST).read_bytes().startswith(b'{"'):
            (path / MANIFEST).write_text(json.dumps(sizes))
    find_start(folder, {"steps": 2}, resume=True)


def make_data(folder: Path) -> None:
    make_scenes(folder, train=0, val=0, test=0)


def resume_data(folder: Path) -> None:
    make_scenes(folder, train=0, val=0, test=0)


OF_A_CHECKPOINT = (WINDOW, PROGRESS, MANIFEST)
KINDS: dict[str, tuple[Callable[[Path], None], Callable[[Path], None], list[str]]] = {
    "prediction": (make_prediction, resume_prediction, ["p.jsonl", "p.jsonl.settings.json", "p.jsonl.part-1"]),
    "scan": (make_scan, resume_scan, ["m.json", "m.broken.json", ".m.json.journal"]),
    "training": (make_training, resume_training, ["run.json", *(f"checkpoint-2/{name}" for name in OF_A_CHECKPOINT)]),
    "scenes": (make_data, resume_data, ["scenes/scenes.json"]),
}  # fmt: skip
FILES = [(kind, name) for kind, (_, _, names) in KINDS.items() for name in names]


def restore(folder: Path, contents: dict[str, bytes]) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(folder).as_posix() not in contents:
            path.unlink()
    for name, content in contents.items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_a_mutant_is_resumed_from_or_told(tmp_path: Path, kind: str, name: str) -> None:
    make, resume, _ = KINDS[kind]
    make(tmp_path)
    contents = {p.relative_to(tmp_path).as_posix(): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    resume(tmp_path)  # as it is
    tracemalloc.start()
    try:
        for number, mutant in enumerate(mutants(contents[name], MUTANTS, seed=len(name))):
            restore(tmp_path, contents | {name: mutant})
            began, message = time.process_time(), ""
            try:
                resume(tmp_path)
            except DuetError as error:
                message = str(error)
            assert len(message.splitlines()) <= 1, f"mutant {number}: {message}"
            assert len(message) < 2000, f"mutant {number}: {message}"
            assert time.process_time() - began < SECONDS, f"mutant {number}"
        assert tracemalloc.get_traced_memory()[1] < BYTES
    finally:
        tracemalloc.stop()
