"""Your own annotation kind: the steps of a how-to video. The assistant names each step at the end of the step.

steps.json, the annotations: [{"video": "tea.mp4", "steps": [{"name": "Boil the water.", "span": [1.0, 4.5]}]}]

mixture.json, in the same folder (a scan of the videos makes the metadata file):

    [{"dataset_cls": "StepsDataset", "video_root": "videos", "anno_file": "steps.json", "metadata_path": "videos.json"}]

steps.yaml, the training config, and the command:

    output: runs/steps
    model: {base: mini-base}
    data: {train: mixture.json}
    recipe: {steps: 300}

    mmduet train steps.yaml --kind examples.own_kind:STEPS
"""

from pydantic import BaseModel, Field

from mmduet.data.annotations import Name, Span, Text
from mmduet.data.conversations import Conversation, labelled_stream, truncate
from mmduet.data.kinds import AnnotatedText, AnnotationKind, Entry
from mmduet.model.prompt import TextTurn


class Step(BaseModel):
    """One step; its span is in seconds."""

    name: Text
    span: Span


class HowTo(BaseModel):
    """The steps of one video."""

    video: Name
    steps: list[Step] = Field(min_length=1)


def _entries(content):
    for index, item in enumerate(content):
        starts = {f"step {i} start": step.span[0] for i, step in enumerate(item.steps)}
        ends = {f"step {i} end": step.span[1] for i, step in enumerate(item.steps)}
        yield Entry(item.video, str(index), item, starts, ends)


def _conversation(annotation, clock, *, rng, templates, max_frames):
    turns, now = [TextTurn("user", rng.choice(templates))], 0.0
    for step in sorted(annotation.steps, key=lambda step: step.span[1]):  # steps may overlap: each is named at its end
        middle, end = clock.ceil(sum(step.span) / 2), clock.ceil(step.span[1])
        if end == now and len(turns) > 1:  # as in the kind narration, the later one of two replaces the other
            turns.pop()
        turns += labelled_stream(clock.frames(end - now), clock.frames(end - middle), max_frames)
        turns.append(TextTurn("assistant", step.name))
        now = end
    return Conversation(truncate(turns, max_frames))


def _texts(annotation):
    return [AnnotatedText(step.name, (step.span,)) for step in annotation.steps]


STEPS = AnnotationKind("steps", "StepsDataset", list[HowTo], _entries, _conversation, _texts, ("Name each step.",))
