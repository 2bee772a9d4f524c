"""Recipe: every hyperparameter of a training run, checked."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from mmduet.data.annotations import Flag, Number, Whole
from mmduet.errors import DuetError
from mmduet.files import place_of, shown

MANY = 1_000_000_000
Rate = Annotated[Number, Field(gt=0)]
Weight = Annotated[Number, Field(ge=0)]
Share = Annotated[Number, Field(ge=0, lt=1)]
Count = Annotated[Whole, Field(ge=1, le=MANY)]
UNRELATED = ("eval_every", "save_every", "keep_checkpoints", "log_every", "workers", "tensorboard", "best_by")

MEASURED = ("loss", "lm_loss", "video_loss", "token_accuracy", "informative_auc", "relevance_auc")
KINDS = ("narration", "magqa", "grounding")


def _measured(name: str) -> str:
    known = [*MEASURED, *(f"{kind}_{figure}" for kind in KINDS for figure in MEASURED)]
    if name not in known:
        raise ValueError(f"no figure is named so; known are {', '.join(MEASURED)}, also after {', '.join(KINDS)} and _")
    return name


class Lora(BaseModel):
    """LoRA on every linear layer of the LLM.

    r: rank. alpha: the update is scaled by alpha / r. dropout: of its input.
    """

    model_config = ConfigDict(extra="forbid")
    r: Annotated[Whole, Field(ge=1, le=4096)] = 16
    alpha: Rate = 32
    dropout: Share = 0.05


class Recipe(BaseModel):
    """How to train. One of `steps` and `epochs` must be given.

    steps: optimiser steps. epochs: passes over the training set.
    align_iterations: of the first stage, the projector alone; 0 for a base whose projector is trained.
    learning_rate: of LoRA. projector_learning_rate, head_learning_rate: of these; the projector's is lower, so that its
    alignment lasts, the heads', which start at random, higher. schedule: what the rates do after the warm-up, which is
    a share of the steps.
    batch_size: conversations at once in a process. accumulation: such batches a step. group_by_length: put
    conversations of about one length at once, so that little is padded.
    loss_mean: a step's losses are means over all its tokens and labelled frames (``step``), or over its conversations
    of the means over each (``example``: as published, where a batch is one conversation).
    video_loss_weight: of the heads' loss beside the words'; 0: the heads get no gradient, as in the published release.
    bf16: compute in bfloat16 where that is safe; the trained weights stay float32. tf32: allow TF32, on
    NVIDIA's cards from Ampere on.
    gradient_checkpointing: compute activations anew in the backward pass: less memory, about a third more time.
    workers: processes that load data, beside each training process.
    eval_every, save_every, log_every: steps between looks at the validation set, checkpoints, and logged figures;
    save_every None: no checkpoints, but when asked to stop. keep_checkpoints: the newest so many stay.
    best_by: the validation figure (of TeacherForced.quality) whose best is kept as the adapter; a figure of loss is
    best low, any other high. None: the adapter is the last.
    tensorboard: write event files to OUTPUT/tensorboard.
    """

    model_config = ConfigDict(extra="forbid")
    steps: Count | None = None
    epochs: Annotated[Rate, Field(le=1_000_000)] | None = None
    align_iterations: Annotated[Whole, Field(ge=0, le=MANY)] = 400
    lora: Lora = Lora()
    learning_rate: Rate = 4e-4
    projector_learning_rate: Rate = 1e-4
    head_learning_rate: Rate = 1e-3
    weight_decay: Weight = 0.0
    max_grad_norm: Rate = 1.0
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    warmup: Share = 0.05
    batch_size: Annotated[Count, Field(le=65_536)] = 4
    accumulation: Annotated[Count, Field(le=65_536)] = 1
    group_by_length: Flag = True
    loss_mean: Literal["step", "example"] = "step"
    video_loss_weight: Weight = 1.0
    bf16: Flag = False
    tf32: Flag = False
    gradient_checkpointing: Flag = False
    workers: Annotated[Whole, Field(ge=0, le=256)] = 0
    eval_every: Count = 100
    save_every: Count | None = None
    keep_checkpoints: Count = 2
    log_every: Count = 10
    best_by: Annotated[str, AfterValidator(_measured)] | None = None
    tensorboard: Flag = False
    seed: Annotated[Whole, Field(ge=0, lt=2**32)] = 0

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give steps or epochs, one of the two")
        return self

    def total_steps(self, conversations: int, processes: int) -> int:
        """Optimiser steps of the run. Raises DuetError when the conversations fill no batch."""
        batches = conversations // (self.batch_size * processes)
        if batches == 0:
            raise DuetError(
                f"{conversations} training conversations fill no batch of {self.batch_size} in each of {processes} "
                "processes: lower batch_size, or give more data."
            )
        return self.steps or max(1, round((self.epochs or 0) * -(-batches // self.accumulation)))

    def identity(self) -> dict[str, Any]:
        """What changes the losses: a run goes on only with the same."""
        return self.model_dump(mode="json", exclude=set(UNRELATED))


def make_recipe(**fields: Any) -> Recipe:
    """A recipe of these fields; DuetError names the one that is unknown or out of range."""
    try:
        return Recipe(**fields)
    except ValidationError as error:
        raise DuetError(explain(error, Recipe)) from error


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first mistake in one sentence; an unknown field with the known ones."""
    first = min(error.errors(), key=lambda mistake: mistake["type"] != "extra_forbidden")  # the cause of a missing one
    *above, name = first["loc"] or ("",)
    place = ".".join(place_of([part]) for part in first["loc"]) or "the whole"
    if first["type"] == "extra_forbidden":
        known = _fields(model, [str(part) for part in above])
        return f"{place}: unknown field {shown(name)}; known are {', '.join(known)}."
    if first["type"] == "missing":
        return f"{place}: missing; it has no default, so give it."
    found = f"; found {shown(first['input'])}" if first["loc"] else ""
    return f"{place}: {first['msg'].removeprefix('Value error, ')}{found}."


def _fields(model: type[BaseModel], above: list[str]) -> list[str]:
    """Fields of the part of a model that a path leads to."""
    for part in above:
        annotation = model.model_fields[part].annotation
        kinds = (annotation, *getattr(annotation, "__args__", ()))  # a part that may be null is a union
        model = next(kind for kind in kinds if hasattr(kind, "model_fields"))
    return sorted(model.model_fields)
