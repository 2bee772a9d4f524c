"""An annotation kind of one's own: the steps of a how-to video, named as soon as each is half done.

An annotation file, steps.json: [{"video": "tea.mp4", "steps": [{"name": "Boil the water.", "span": [1.0, 4.5]}]}]

A mixture, mixture.json, beside it; the metadata is made by a scan of the videos:

    [{"dataset_cls": "StepsDataset", "video_root": "videos", "anno_file": "steps.json", "metadata_path": "videos.json"}]

A training config, steps.yaml:

    output: runs/steps
    model: {base: mini-base}
    data: {train: mixture.json}
    recipe: {steps: 300}

Run from the repository's root:

    mmduet train steps.yaml --kind examples.own_kind:STEPS
"""

from pydantic import BaseModel, Field

from mmduet.data.annotations import Name, Span, Text
from mmduet.data.conversations import Conversation, labelled_stream, truncate
from mmduet.data.kinds import AnnotatedText, AnnotationKind, Entry
from mmduet.model.prompt import TextTurn


class Step(BaseModel):
    name: Text
    span: Span  # seconds


class HowTo(BaseModel):
    video: Name
    steps: list[Step] = Field(min_length=1)


def entries(content):
    for index, item in enumerate(content):
        yield Entry(item.video, str(index), item, {step.name: step.span[0] for step in item.steps})


def conversation(annotation, clock, *, rng, templates, max_frames):
    turns, now = [TextTurn("user", rng.choice(templates))], 0.0
    for step in sorted(annotation.steps, key=lambda step: step.span):
        middle, end = clock.ceil(sum(step.span) / 2), clock.ceil(step.span[1])
        turns += labelled_stream(clock.frames(end - now), clock.frames(end - middle), max_frames)
        turns.append(TextTurn("assistant", step.name))
        now = end
    return Conversation(truncate(turns, max_frames))


def texts(annotation):
    return [AnnotatedText(step.name, (step.span,)) for step in annotation.steps]


STEPS = AnnotationKind(
    "steps", "StepsDataset", list[HowTo], entries, conversation, texts, templates=("Name each step.", "What is done?")
)
