"""`scenes`: AUC of both heads, and whether the model names each scene once and in time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from tqdm import tqdm

from mmduet.data.collator import Collator
from mmduet.data.feature_cache import FeatureCache
from mmduet.data.kinds.narration import NARRATION_INSTRUCTIONS
from mmduet.data.mixture import MixtureDataset
from mmduet.data.scenes.concepts import CONCEPTS, concepts_in
from mmduet.errors import DuetError
from mmduet.evaluation.benchmarks.proactive.items import ProactiveItem
from mmduet.evaluation.benchmarks.proactive.judging import COVERAGE, DUPLICATES
from mmduet.evaluation.items import AnsweredItem
from mmduet.evaluation.judges.rating import GRADES, Ratings, Rubric, Texts
from mmduet.evaluation.metrics.bootstrap import Estimate, bootstrap
from mmduet.files import read_json
from mmduet.model.duet import DuetForConditionalGeneration
from mmduet.model.processing import DuetProcessor
from mmduet.policy import HEADS, ScoreThreshold
from mmduet.streaming.session import DuetSession
from mmduet.trace import DuetTrace, Query, Response
from mmduet.training import auc, teacher_force
from mmduet.video import read_frames

_ANSWERS = frozenset(answer for concept in CONCEPTS.values() for answer in concept.answers)
SPLITS = ("train", "val", "test")
Scored = tuple[NDArray[Any], NDArray[Any]]  # labels and scores of frames
UNITS = {
    **{f"{head}_auc": "0 to 1" for head in HEADS},
    "right_responses": "0 to 1",
    "scenes_named": "0 to 1",
    "responses_per_scene": "1 is ideal",
}


@dataclass(frozen=True, slots=True)
class WatchedClip:
    """A clip and the responses to it.

    Attributes:
        reference: The clip's entry in ``*_scenes.json``.
        responses: The model's responses.
    """

    reference: dict[str, Any]
    responses: list[Response]

    def scene_at(self, time: float) -> dict[str, Any] | None:
        """The scene that is visible at a time, s; None in a pause."""
        return next((s for s in self.reference["scenes"] if s["start"] <= time < s["end"]), None)

    def is_right(self, response: Response) -> bool:
        """Whether a response names the visible scene, and nothing else."""
        scene = self.scene_at(response.time)
        return scene is not None and concepts_in(response.text) == {scene["concept"]}

    def is_named(self, scene: dict[str, Any]) -> bool:
        """Whether a correct response is inside the scene's span."""
        return any(self.is_right(r) for r in self.responses if scene["start"] <= r.time < scene["end"])


@dataclass(frozen=True)
class ConceptJudge:
    """A judge that needs no model, for `scenes` only. It compares the concepts that two texts name.

    Attributes:
        rubric: `GRADES`: 5 if a reply names what the reference answer names, and nothing else; otherwise 1. `COVERAGE`:
            3 in that case, 2 if the replies so far name it among other things; otherwise 1. `DUPLICATES`: yes if a
            reply names nothing that the earlier ones did not name.
    """

    rubric: Rubric = GRADES

    def __post_init__(self) -> None:
        if self.rubric not in _ANSWER:
            raise DuetError("the judge of scenes knows the rubrics GRADES, COVERAGE and DUPLICATES alone: use another.")

    @property
    def identity(self) -> str:
        """The rubric, if it is not `GRADES`."""
        return "concepts of scenes" + ("" if self.rubric == GRADES else f" {self.rubric.version}")

    def about(self, rubric: Rubric) -> "ConceptJudge":
        """The judge according to another rubric."""
        return replace(self, rubric=rubric)

    def ask(self, asked: Sequence[Texts]) -> Ratings:
        """Rate each reply.

        Raises:
            DuetError: A reference answer is not of `scenes`.
        """
        for texts in asked:
            _, reference, reply = texts
            yield texts, self.rubric.read(_ANSWER[self.rubric](reference, reply))


def _grade(reference: str, reply: str) -> str:
    _check_answer(reference)
    return "5" if concepts_in(reply) == concepts_in(reference) else "1"


def _cover(reference: str, replies: str) -> str:
    _check_answer(reference)
    wanted, named = concepts_in(reference), concepts_in(replies)
    return "1" if not wanted <= named else "3" if wanted == named else "2"


def _repeat(earlier: str, reply: str) -> str:
    return "yes" if concepts_in(reply) <= concepts_in(earlier) else "no"


_ANSWER = {GRADES: _grade, COVERAGE: _cover, DUPLICATES: _repeat}  # reference or earlier replies, reply -> answer


def check_concepts(references: Mapping[str, AnsweredItem | ProactiveItem]) -> None:
    """Refuse references that ConceptJudge cannot judge.

    Raises:
        DuetError: A reference answer is not of `scenes`.
    """
    for item in references.values():
        for answer in item.answer:
            _check_answer(answer.content)


def _check_answer(reference: str) -> None:
    if reference not in _ANSWERS:
        raise DuetError(
            f"the judge of scenes knows the answers of scenes alone, and not {reference[:80]!r}: give another judge "
            "(local, endpoint or batch)."
        )


def right_responses(clips: Sequence[WatchedClip]) -> float:
    """Share of responses that name the visible scene, in [0, 1]; NaN without responses."""
    verdicts = [clip.is_right(response) for clip in clips for response in clip.responses]
    return float(np.mean(verdicts)) if verdicts else float("nan")


def scenes_named(clips: Sequence[WatchedClip]) -> float:
    """Share of scenes with a correct response inside their span, in [0, 1]."""
    return float(np.mean([clip.is_named(scene) for clip in clips for scene in clip.reference["scenes"]]))


def responses_per_scene(clips: Sequence[WatchedClip]) -> float:
    """Number of responses divided by number of scenes; 1 is ideal."""
    return sum(len(clip.responses) for clip in clips) / sum(len(clip.reference["scenes"]) for clip in clips)


def check_clips(split: str, clips: int | None) -> None:
    """Refuse a split that `scenes` does not have, and a number of clips below 1.

    Raises:
        DuetError: The split or the number is wrong.
    """
    if split not in SPLITS:
        raise DuetError(f"split={split!r} is not known; known are {SPLITS}.")
    if clips is not None and clips < 1:
        raise DuetError(f"clips={clips}: must be at least 1.")


def watch_clips(
    session: DuetSession,
    folder: Path,
    split: str,
    *,
    clips: int | None = None,
    instruction: str = NARRATION_INSTRUCTIONS[0],
) -> list[WatchedClip]:
    """Let a session watch the first clips of a split (None: all) with the instruction at time 0."""
    size, watched = session.processor.frame.fit, []
    references = read_json(folder / "annotations" / f"{split}_scenes.json")[:clips]
    for reference in tqdm(references, desc="watch", unit="clip"):
        frames = read_frames(folder / "videos" / split / reference["video"], fps=session.frame_fps, size=size).frames
        trace: DuetTrace = session.run(frames, [Query(0.0, instruction)])
        watched.append(WatchedClip(reference, trace.responses))
    return watched


def evaluate(clips: Sequence[WatchedClip]) -> dict[str, Estimate]:
    """The figures of the responses, with intervals over clips."""
    metrics: dict[str, Callable[[Sequence[WatchedClip]], float]] = {
        "right_responses": right_responses,
        "scenes_named": scenes_named,
        "responses_per_scene": responses_per_scene,
    }
    return {name: bootstrap(clips, metric) for name, metric in metrics.items()}


def evaluate_heads(
    model: DuetForConditionalGeneration, collator: Collator, dataset: MixtureDataset
) -> dict[str, Estimate]:
    """The teacher-forced AUC of both heads over labelled frames, with intervals over clips."""
    loader = DataLoader(dataset, collate_fn=collator)
    result = teacher_force(model, tqdm(loader, desc="score frames", unit="example"))
    videos = [source.video for source in dataset.samples]
    pairs = {head: [example.heads[head] for example in result.samples] for head in HEADS}
    return {f"{head}_auc": bootstrap(_by_clip(videos, pairs[head]), _pooled_auc) for head in HEADS}


def _by_clip(videos: Iterable[Path], pairs: Iterable[Scored]) -> list[list[Scored]]:
    clips: dict[Path, list[Scored]] = {}
    for video, pair in zip(videos, pairs, strict=True):
        if len(pair[0]):
            clips.setdefault(video, []).append(pair)
    return list(clips.values())


def _pooled_auc(clips: list[list[Scored]]) -> float:
    pairs = [pair for clip in clips for pair in clip]
    return auc(np.concatenate([labels for labels, _ in pairs]), np.concatenate([scores for _, scores in pairs]))


def quality(
    model: DuetForConditionalGeneration,
    processor: DuetProcessor,
    folder: Path,
    *,
    split: str = "test",
    clips: int | None = None,
    threshold: float = 0.5,
    feature_folder: Path,
) -> dict[str, Estimate]:
    """All figures on clips of `scenes`.

    Args:
        model: The model.
        processor: Its processor.
        folder: The folder ``scenes``.
        split: ``train``, ``val`` or ``test``.
        clips: Number of clips, the first ones; None: all.
        threshold: The model responds above this informative score.
        feature_folder: The folder of the feature cache.

    Raises:
        DuetError: The split is not known, or there are fewer clips than one.
    """
    check_clips(split, clips)
    dataset = MixtureDataset(folder / "annotations" / f"{split}_mixture.json", videos=clips)
    features = FeatureCache(feature_folder, model, processor)
    features.prepare(dataset.samples)
    heads = evaluate_heads(model, Collator(processor, features), dataset)
    session = DuetSession(model, processor, policy=ScoreThreshold(threshold), max_new_tokens=40)
    return heads | evaluate(watch_clips(session, folder, split, clips=clips))
