"""Recipe: every hyperparameter of a training run, checked."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, model_validator

from mmduet.data.annotations import Flag, Number, Whole
from mmduet.data.kinds import KINDS, AnnotationKind
from mmduet.errors import DuetError
from mmduet.files import place_of, shown

MANY = 1_000_000_000
Rate = Annotated[Number, Field(gt=0)]
Weight = Annotated[Number, Field(ge=0)]
Share = Annotated[Number, Field(ge=0, lt=1)]
Count = Annotated[Whole, Field(ge=1, le=MANY)]
UNRELATED = ("eval_every", "save_every", "keep_checkpoints", "log_every", "workers", "tensorboard")

MEASURED = ("loss", "lm_loss", "video_loss", "token_accuracy", "informative_auc", "relevance_auc")


def rank(name: str, value: float) -> float:
    """The value of a metric, with its sign changed where less is better."""
    return -value if name.endswith("loss") else value


def _measured(name: str, info: ValidationInfo) -> str:
    """`name`, if it is a metric that training can measure. The context may hold the known kinds."""
    kinds = [kind.name for kind in (info.context or {}).get("kinds", KINDS).values()]
    if name not in (*MEASURED, *(f"{kind}_{figure}" for kind in kinds for figure in MEASURED)):
        raise ValueError(
            f"no figure has this name; known are {', '.join(MEASURED)}, also after {', '.join(kinds)} and _ (and after "
            "your own kind, if you give it: --kind module:OBJECT, or `kinds=`)"
        )
    return name


class Lora(BaseModel):
    """LoRA on every linear layer of the language model.

    Attributes:
        r: The rank of its matrices.
        alpha: The update is scaled by alpha / r.
        dropout: Share of its inputs that are dropped.
    """

    model_config = ConfigDict(extra="forbid")
    r: Annotated[Whole, Field(ge=1, le=4096)] = 16
    alpha: Rate = 32
    dropout: Share = 0.05


class Recipe(BaseModel):
    """How to train. One of `steps` and `epochs` must be given.

    Attributes:
        steps: Optimiser steps.
        epochs: Passes over the training set.
        align_iterations: Optimiser steps of the first stage, the projector alone; 0 if the base's projector is trained.
        lora: LoRA's settings.
        learning_rate: LoRA's learning rate.
        projector_learning_rate: The projector's; low, so that its alignment is kept.
        head_learning_rate: The heads'; high, because they start at random.
        weight_decay: AdamW's weight decay.
        max_grad_norm: Gradients are clipped to this norm.
        schedule: The learning rates' schedule after the warm-up.
        warmup: The warm-up, as a share of the steps.
        batch_size: Conversations per batch, in each process.
        accumulation: Batches per step.
        group_by_length: Put conversations of similar length into a batch, so that there is little padding.
        loss_mean: ``step``: a step's losses are means over all its tokens and labelled frames. ``example``: means over
            its conversations of the means over each, as published, where a batch is one conversation.
        video_loss_weight: Weight of the heads' loss. With 0 the heads get no gradient, as in the published code.
        bf16: Compute in bfloat16 where that is safe, and on a CPU only where it is fast. Trained weights stay float32.
        tf32: Allow TF32, on NVIDIA GPUs from Ampere on.
        gradient_checkpointing: Compute activations again in the backward pass: less memory, about a third more time.
        workers: Processes that load data, for each training process.
        eval_every: Steps between evaluations.
        save_every: Steps between checkpoints. None writes one only when a signal stops the run.
        keep_checkpoints: Keep the newest so many checkpoints.
        log_every: Steps between logged figures.
        best_by: The validation metric (see `TeacherForced.quality`) that chooses the adapter. A loss is best low, any
            other metric high. None keeps the last adapter.
        tensorboard: Write event files to OUTPUT/tensorboard.
        seed: Seed of everything that is drawn.
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
        """Optimiser steps of the run.

        Args:
            conversations: Size of the training set.
            processes: Number of training processes.

        Raises:
            DuetError: The conversations do not fill a batch.
        """
        batches = conversations // (self.batch_size * processes)
        if batches == 0:
            raise DuetError(
                f"{conversations} training conversations fill no batch of {self.batch_size} in each of {processes} "
                "processes: lower batch_size, or give more data."
            )
        return self.steps or max(1, round((self.epochs or 0) * -(-batches // self.accumulation)))

    def identity(self) -> dict[str, Any]:
        """The fields that change the losses or the choice of the adapter; a resumed run must have the same."""
        return self.model_dump(mode="json", exclude=set(UNRELATED))


def make_recipe(kinds: Mapping[str, AnnotationKind] = KINDS, /, **fields: Any) -> Recipe:
    """A recipe of these fields.

    Args:
        kinds: The known annotation kinds.
        **fields: Fields of `Recipe`.

    Raises:
        DuetError: A field is unknown or out of range; the message names it.
    """
    try:
        return Recipe.model_validate(fields, context={"kinds": kinds})
    except ValidationError as error:
        raise DuetError(explain(error, Recipe)) from error


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first mistake of a config in one sentence; for an unknown field, with the known ones."""
    first = min(error.errors(), key=lambda mistake: mistake["type"] != "extra_forbidden")  # the cause of a missing one
    *above, name = first["loc"] or ("",)
    place = ".".join(place_of([part]) for part in first["loc"]) or "the config"
    if first["type"] == "extra_forbidden":
        known = _fields(model, [str(part) for part in above])
        return f"{place}: unknown field {shown(name)}; known are {', '.join(known)}."
    if first["type"] == "missing":
        return f"{place}: missing; it has no default, so give it."
    found = f"; found {shown(first['input'])}" if first["loc"] else ""
    return f"{place}: {first['msg'].removeprefix('Value error, ')}{found}."


def _fields(model: type[BaseModel], above: list[str]) -> list[str]:
    """The fields of the part of a config that a path leads to."""
    for part in above:
        annotation = model.model_fields[part].annotation
        kinds = (annotation, *getattr(annotation, "__args__", ()))  # a part that may be null is a union
        model = next(kind for kind in kinds if hasattr(kind, "model_fields"))
    return sorted(model.model_fields)
