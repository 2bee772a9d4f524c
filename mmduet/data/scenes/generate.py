"""`scenes`: a generated data set of real mp4 files with exact annotations in all the published formats.

A clip shows 2 to 5 scenes, each a photograph panned, zoomed and lit, and pauses: blank walls on which nothing
happens. Something is said once a scene, when it has been in view for a moment; the rest is silence to be kept.
Scenes begin on half seconds, so that at 2 frames a second the label of every frame is exact.

Clip n of a split depends on (seed, split, n) alone: more clips never change those that are there.
"""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import av
import numpy as np
from PIL import Image
from pydantic import BaseModel, Field
from tqdm import tqdm

from mmduet.data.annotations import Whole
from mmduet.data.scenes.concepts import CONCEPTS, Concept
from mmduet.errors import AnnotationError, FileError
from mmduet.files import clean, is_temporary, read_json, replacing, validated, write_file, write_json
from mmduet.system.workers import map_in_processes

VERSION = 3  # goes up when the same seed makes other clips
SPLITS = ("train", "val", "test")
MAX_CLIPS = 100_000  # of a split: their names have five digits
WIDTH, HEIGHT, RATE = 320, 240, 12  # pixels, pixels, frames a second
STEP = RATE // 2  # source frames between two moments at which a scene may begin
REACTION = 1.5  # s after a scene's start at which its caption is said
QVH_CLIP = 2.0  # s
INSTRUCTION = "Please concisely narrate the video in real time."
QUESTIONS = (
    "What comes into view?",
    "Tell me what appears, whenever something new does.",
    "What can you see from now on?",
    "Name each thing as it shows up.",
    "What is that, and what comes after it?",
)


@dataclass(frozen=True, slots=True)
class Shot:
    """Source frames start … end - 1 of a clip. concept: None in a pause. fade: frames of cross-fade into it."""

    concept: str | None
    start: int
    end: int
    fade: int

    @property
    def span(self) -> tuple[float, float]:
        """Start and end, s. Of a cross-fade it is the middle."""
        return self.start / RATE, self.end / RATE


@dataclass(frozen=True, slots=True)
class Script:
    """What a clip shows, and the seed of everything else that is drawn for it."""

    name: str
    shots: tuple[Shot, ...]
    entropy: tuple[int, ...]

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.shots[-1].end / RATE

    @property
    def scenes(self) -> list[Shot]:
        """The shots that show something."""
        return [shot for shot in self.shots if shot.concept]

    def draw(self, purpose: int) -> np.random.Generator:
        """A generator of its own for each purpose, so that one change moves nothing else."""
        return np.random.default_rng([*self.entropy, purpose])


def make_scenes(
    root: str | Path, *, seed: int = 0, train: int = 240, val: int = 24, test: int = 60, workers: int = 2
) -> Path:
    """Make what is missing of `root`/scenes, and return that folder.

    train, val, test: clips of each split; a split that has more already keeps them. Clips that are there stay;
    annotations are written again where they differ from what this version makes of them. Files are written completely
    or not at all, so the next run resumes an interrupted one.
    Raises AnnotationError when the folder was made with another seed or by another version, and FileError when it
    holds something else, or cannot be written.
    """
    if seed < 0 or min(train, val, test) < 0:
        raise AnnotationError(f"seed={seed}, train={train}, val={val}, test={test}: none of these may be negative.")
    folder = Path(root) / "scenes"
    manifest = _read_manifest(folder, seed)
    sizes = {
        split: max(count, manifest["clips"].get(split, 0))
        for split, count in zip(SPLITS, (train, val, test), strict=True)
    }
    scripts = {split: [write_script(seed, split, n) for n in range(count)] for split, count in sizes.items() if count}
    stated = {"seed": seed, "version": VERSION}
    write_json(folder / "scenes.json", {**stated, **manifest})  # first, so that an interrupted run keeps its seed
    _render_missing(folder, scripts, workers)
    for split, listed in scripts.items():
        for name, text in _annotations(split, listed).items():
            path = folder / "annotations" / name
            if not path.is_file() or path.read_bytes() != text.encode():
                write_file(path, text)
    write_json(folder / "scenes.json", {**stated, "clips": sizes})
    return folder


class _Manifest(BaseModel):
    seed: Annotated[Whole, Field(ge=0)]
    version: Whole
    clips: dict[Literal[SPLITS], Annotated[Whole, Field(ge=0, le=MAX_CLIPS)]]  # type: ignore[valid-type]


def _read_manifest(folder: Path, seed: int) -> dict[str, Any]:
    path = folder / "scenes.json"
    if not path.is_file():
        _check_empty(folder)
        return {"clips": {}}
    try:
        manifest = validated(path, _Manifest, read_json(path), place="field")
    except AnnotationError as error:
        raise AnnotationError(f"{path} is damaged: remove {folder}, and it is made anew. ({error})") from error
    found, wanted = (manifest.seed, manifest.version), (seed, VERSION)
    if found != wanted:
        raise AnnotationError(
            f"{folder} was made with (seed, version) {found}, {wanted} is asked for: choose another root, or remove it."
        )
    return {"clips": dict(manifest.clips)}


def _check_empty(folder: Path) -> None:
    """Raises FileError when the folder is someone else's."""
    clean(folder)
    if os.path.lexists(folder) and not folder.is_dir():
        raise FileError(f"{folder} is no folder: choose another root, or remove it.")
    names = [path.name for path in folder.iterdir() if not is_temporary(path)] if folder.is_dir() else []
    if names:
        raise FileError(f"{folder} holds {min(names)}, which this command did not make: choose another root.")


# what happens


def write_script(seed: int, split: str, index: int) -> Script:
    """Clip `index` of a split: 10 to 40 s of scenes of 3 to 10 s, with pauses of 2 to 5 s."""
    entropy = (VERSION, seed, SPLITS.index(split), index)
    rng = np.random.default_rng(entropy)
    concepts = _draw_concepts(rng, int(rng.integers(2, 6)))
    lengths = rng.integers(6, 21, len(concepts))  # half seconds
    while not 20 <= lengths.sum() <= 72:
        lengths = rng.integers(6, 21, len(concepts))
    shots: list[Shot] = []
    now, left = 0, 80 - int(lengths.sum())
    for concept, length in zip(concepts, lengths, strict=True):
        if left >= 4 and rng.random() < 0.3:
            pause = int(rng.integers(4, min(10, left) + 1))
            left -= pause
            shots.append(_shot(rng, None, now, pause))
            now = shots[-1].end
        shots.append(_shot(rng, concept, now, int(length)))
        now = shots[-1].end
    return Script(f"{split}_{index:05d}.mp4", tuple(shots), entropy)


def _draw_concepts(rng: np.random.Generator, count: int) -> list[str]:
    """Mostly each once; now and then one comes again, never twice in a row."""
    keys = list(rng.permutation(list(CONCEPTS))[:count])
    if count >= 3 and rng.random() < 0.25:
        keys[-1] = keys[0]
    return [str(key) for key in keys]


def _shot(rng: np.random.Generator, concept: str | None, start: int, half_seconds: int) -> Shot:
    fade = int(rng.integers(4, 10)) if start and rng.random() < 0.4 else 0
    return Shot(concept, start, start + half_seconds * STEP, fade)


# what is seen


def _render_missing(folder: Path, scripts: dict[str, list[Script]], workers: int) -> None:
    jobs = [
        (script, folder / "videos" / split / script.name)
        for split, listed in scripts.items()
        for script in listed
        if not (folder / "videos" / split / script.name).is_file()
    ]
    if not jobs:
        return
    done = map_in_processes(_render_job, jobs, workers=workers, chunk=2)
    for _ in tqdm(done, total=len(jobs), desc="scenes", unit="clip"):
        pass


def _render_job(job: tuple[Script, Path]) -> None:
    render_clip(*job)


def render_clip(script: Script, path: Path) -> None:
    """Write a clip as H.264 in mp4. The same script gives the same bytes."""
    with replacing(path) as temporary:
        _encode(list(_frames(script)), temporary)


def _encode(frames: list[np.ndarray], path: Path) -> None:
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream: Any = container.add_stream(
            "libx264",
            rate=RATE,
            options={
                "crf": "27",
                "preset": "veryfast",
                # one thread and no look-ahead: with them some runs differed in a few bits
                "x264-params": "threads=1:weightp=0:mbtree=0:rc-lookahead=0",
            },
        )
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _frames(script: Script) -> Iterable[np.ndarray]:
    """uint8 [HEIGHT, WIDTH, 3] of every source frame, cross-fades laid around the shots' borders."""
    cameras = [_camera(shot, script.draw(10 + n)) for n, shot in enumerate(script.shots)]
    borders = [(shot.start, shot.fade, n) for n, shot in enumerate(script.shots) if shot.fade]
    for n, shot in enumerate(script.shots):
        for frame in range(shot.start, shot.end):
            picture = cameras[n](frame)
            for border, fade, later in borders:
                weight = 0.5 + (frame + 0.5 - border) / fade  # of the later shot
                if 0 < weight < 1:
                    before, after = cameras[later - 1](frame), cameras[later](frame)
                    picture = (before * (1 - weight) + after * weight).astype(np.uint8)
            yield picture


Camera = Callable[[int], np.ndarray]


def _camera(shot: Shot, rng: np.random.Generator) -> Camera:
    return _photograph_camera(shot, rng) if shot.concept else _wall_camera(shot, rng)


def _photograph_camera(shot: Shot, rng: np.random.Generator) -> Camera:
    """Pans and zooms from one part of the photograph to another, in a light of its own."""
    concept = CONCEPTS[str(shot.concept)]
    mirrored = bool(concept.mirrored and rng.random() < 0.5)
    picture = _photograph(concept.key, mirrored)
    left, top, right, bottom = concept.subject
    subject = np.array([[1 - right, top, 1 - left, bottom] if mirrored else concept.subject]).reshape(2, 2)
    boxes = np.array([_draw_box(np.array(picture.size), subject, rng) for _ in range(2)])
    gain, tint, swing = rng.uniform(0.75, 1.15), rng.uniform(0.93, 1.07, 3), rng.uniform(-0.12, 0.12)

    def look(frame: int) -> np.ndarray:
        way = (frame - shot.start) / (shot.end - shot.start)
        box = boxes[0] + (boxes[1] - boxes[0]) * min(max(way, 0.0), 1.0)
        seen = picture.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box=tuple(box))
        levels = np.arange(256)[None] * (tint * gain * (1 + swing * way))[:, None]
        return np.asarray(seen.point(np.clip(levels, 0, 255).astype(int).ravel().tolist()))

    return look


def _draw_box(size: np.ndarray, subject: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A 4:3 part of a picture with the subject in it: left, top, right, bottom.

    size: width, height. subject: shares of them, [[left, top], [right, bottom]]. The part is 65 to 100 % of the
    largest there is; where the subject does not fit, its middle does.
    """
    screen, inside = np.array([WIDTH, HEIGHT]), subject * size
    largest = (size / screen).min()
    needed = ((inside[1] - inside[0]) / screen / largest).max()
    part = screen * largest * rng.uniform(np.clip(needed, 0.65, 1.0), 1.0)
    first, last = np.maximum(inside[1] - part, 0), np.minimum(inside[0], size - part)
    # nearer the middle than the border
    corner = np.clip(first + (last - first) * rng.beta(2.5, 2.5, 2), 0, size - part)
    return np.concatenate([corner, corner + part])


@cache
def _photograph(key: str, mirrored: bool) -> Image.Image:
    concept: Concept = CONCEPTS[key]
    picture: Image.Image = Image.open(concept.path)
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    picture = picture.convert("RGB")
    picture.thumbnail((700, 700))
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else picture


def _wall_camera(shot: Shot, rng: np.random.Generator) -> Camera:
    """A plain wall; only its light wanders a little."""
    color, slope = rng.uniform(60, 200) * rng.uniform(0.9, 1.1, 3), rng.uniform(-0.25, 0.25, 2)
    x, y = np.linspace(-0.5, 0.5, WIDTH), np.linspace(-0.5, 0.5, HEIGHT)
    light = 1 + slope[0] * x[None, :] + slope[1] * y[:, None]
    speed = rng.uniform(0.5, 1.5)

    def look(frame: int) -> np.ndarray:
        wander = 1 + 0.03 * np.sin(speed * (frame - shot.start) / RATE)
        return np.clip(light[..., None] * color * wander, 0, 255).astype(np.uint8)

    return look


# what is said of it


def _annotations(split: str, scripts: list[Script]) -> dict[str, str]:
    """Every format of a split: file name -> text. Paths in the mixture are relative to it."""
    contents = {
        "narration": {script.name: {"0": narrations(script)} for script in scripts},
        "magqa": [magqa(script) for script in scripts],
        **_grounding_files(split, scripts),
        "metadata": {script.name: _metadata(script) for script in scripts},
        "mixture": _mixture(split),
        "scenes": [_truth(script) for script in scripts],
        "youcook2": [_youcook2(script) for script in scripts],
        "magqa_test": [_magqa_test(script) for script in scripts],
        "charades_sta": [item for script in scripts for item in _charades(script)],
    }
    rated = [json.dumps(item) + "\n" for script in scripts for item in _qvhighlights(script)]
    texts = {f"{split}_{name}.json": json.dumps(content, indent=1) for name, content in contents.items()}
    return {**texts, f"{split}_qvhighlights.jsonl": "".join(rated)}


def narrations(script: Script) -> list[dict[str, Any]]:
    """A caption a scene, said REACTION s after its start."""
    rng = script.draw(0)
    return [{"text": str(rng.choice(CONCEPTS[str(shot.concept)].captions)), **_moment(shot)} for shot in script.scenes]


def _moment(shot: Shot) -> dict[str, Any]:
    start = shot.span[0]
    return {"time": start + REACTION, "timespan": [start, start + REACTION]}


def magqa(script: Script) -> dict[str, Any]:
    """A question, at the start or during the first scene, and an answer for each scene that begins after it."""
    rng = script.draw(1)
    first = script.scenes[0].span
    asked = 0.0 if rng.random() < 0.6 else round(float(rng.uniform(first[0] + REACTION, first[1] - 0.5)), 2)
    turns: list[dict[str, Any]] = [{"role": "user", "content": str(rng.choice(QUESTIONS)), "time": asked}]
    for shot in script.scenes:
        if shot.span[0] >= asked:
            answer = str(rng.choice(CONCEPTS[str(shot.concept)].answers))
            turns.append({"role": "assistant", "content": answer, **_moment(shot)})
    return {"video_uid": script.name, "video_start_time": 0, "conversation": turns}


def _spans(script: Script, key: str) -> list[list[float]]:
    return [list(shot.span) for shot in script.scenes if shot.concept == key]


def _queried(script: Script, purpose: int, most: int | None = None) -> list[tuple[str, str]]:
    """(concept, query) of one to `most` of the clip's concepts, None: of all of them."""
    rng = script.draw(purpose)
    keys = list(dict.fromkeys(str(shot.concept) for shot in script.scenes))
    chosen = rng.permutation(keys)[: None if most is None else int(rng.integers(1, most + 1))]
    return [(str(key), str(rng.choice(CONCEPTS[str(key)].queries))) for key in chosen]


def groundings(script: Script) -> list[dict[str, Any]]:
    """A query for each thing that the clip shows, with all its spans."""
    return [
        {"video_uid": script.name, "query": query, "timestamps": _spans(script, key)}
        for key, query in _queried(script, 2)
    ]


def _grounding_files(split: str, scripts: list[Script]) -> dict[str, list[dict[str, Any]]]:
    """Queries by file. Every second training clip's are for 0.5 frames a second.

    Grounding is learnt sooner from many short examples; from these alone, that nothing lasts for more than 5 frames.
    """
    parts = {"grounding": scripts}
    if split == "train":
        parts = {"grounding": scripts[::2], "grounding_sparse": scripts[1::2]}
    return {file: [item for script in part for item in groundings(script)] for file, part in parts.items()}


def _metadata(script: Script) -> dict[str, Any]:
    frames = script.shots[-1].end
    return {"duration": script.duration, "fps": float(RATE), "path": script.name, "frame_count": frames}


def _mixture(split: str) -> list[dict[str, Any]]:
    entries: list[tuple[str, str, float]] = [
        ("DenseVideoCaptioningStreamDataset", "narration", 2),
        ("MAGQAStreamDataset", "magqa", 2),
        ("GroundingStreamDataset", "grounding", 2),
    ]
    if split == "train":
        entries.append(("GroundingStreamDataset", "grounding_sparse", 0.5))
    return [
        {
            "dataset_cls": name,
            "video_root": f"../videos/{split}",
            "anno_file": f"{split}_{file}.json",
            "metadata_path": f"{split}_metadata.json",
            "frame_fps": fps,
            "max_num_frames": 128,
        }
        for name, file, fps in entries
    ]


def _truth(script: Script) -> dict[str, Any]:
    return {
        "video": script.name,
        "duration": script.duration,
        "scenes": [{"concept": s.concept, "start": s.span[0], "end": s.span[1]} for s in script.scenes],
        "pauses": [list(shot.span) for shot in script.shots if shot.concept is None],
    }


def _asked(question: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": question, "time": 0}]


def _youcook2(script: Script) -> dict[str, Any]:
    answer = [
        {"content": said["text"], "time": list(shot.span)}
        for said, shot in zip(narrations(script), script.scenes, strict=True)
    ]
    return {
        "question_id": script.name, "video": script.name, "conversation": _asked(INSTRUCTION), "answer": answer,
    }  # fmt: skip


def _magqa_test(script: Script) -> dict[str, Any]:
    rng = script.draw(3)
    answer = [
        {"content": str(rng.choice(CONCEPTS[str(shot.concept)].answers)), "time": list(shot.span)}
        for shot in script.scenes
    ]
    question = str(rng.choice(QUESTIONS))
    return {"question_id": script.name, "video": script.name, "conversation": _asked(question), "answer": answer}


def _charades(script: Script) -> list[dict[str, Any]]:
    """A query that one scene alone answers, if there is one."""
    for key, query in _queried(script, 4, 1):
        if len(spans := _spans(script, key)) == 1:
            question = f"What segment of the video addresses the topic '{query}'?"
            identity = {"question_id": script.name, "video": script.name}
            return [{**identity, "conversation": _asked(question), "timestamps": spans}]
    return []


def _qvhighlights(script: Script) -> list[dict[str, Any]]:
    """Queries with 2-second clips rated 1 to 4 by how much of each shows what was asked for."""
    lines = []
    for number, (key, query) in enumerate(_queried(script, 5, 2)):
        shares = _clip_shares(script, key)
        best = shares.max()
        relevant = [int(clip) for clip in np.flatnonzero(shares >= 0.5)]
        lines.append(
            {
                "qid": script.entropy[-1] * 10 + number,
                "query": query,
                "duration": script.duration,
                "vid": script.name.removesuffix(".mp4"),
                "relevant_clip_ids": relevant,
                "saliency_scores": [_ratings(shares[clip] / best) for clip in relevant],
                "relevant_windows": _windows(relevant),
            }
        )  # fmt: skip
    return lines


def _ratings(share: float) -> list[int]:
    """Three raters' scores of a clip, harder to please one after the other, and all pleased by the best.

    share: of what the query's best clip shows, so that a perfect prediction scores 100 at every minimum rating.
    """
    return [max(1, round(4 - severity * (1 - share))) for severity in (4, 6, 8)]


def _clip_shares(script: Script, key: str) -> np.ndarray:
    """float [clips]: the share of each whole 2-second clip that shows the concept."""
    starts = np.arange(int(script.duration / QVH_CLIP)) * QVH_CLIP
    return sum(
        (
            np.clip(np.minimum(starts + QVH_CLIP, end) - np.maximum(starts, start), 0, None) / QVH_CLIP
            for start, end in _spans(script, key)
        ),
        np.zeros(len(starts)),
    )


def _windows(clips: list[int]) -> list[list[int]]:
    """Runs of neighbouring clips as [start, end] in seconds."""
    runs = np.split(clips, np.flatnonzero(np.diff(clips) > 1) + 1)
    return [[int(run[0]) * 2, int(run[-1]) * 2 + 2] for run in runs if len(run)]
