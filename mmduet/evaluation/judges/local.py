"""A judge on this computer."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from mmduet.errors import DuetError
from mmduet.evaluation.judges.rating import GRADES, Ratings, Rubric, Texts, check_at_least_one
from mmduet.system.devices import choose_device, choose_dtype


@dataclass(frozen=True)
class LocalJudge:
    """A chat model of transformers, decoded greedily. It is loaded when it is first asked.

    Attributes:
        model: A folder or hub id of a causal language model whose tokenizer has a chat template.
        device: A `device_map` of transformers: ``auto`` (all GPUs, else the CPU), ``cpu``, ``cuda`` …
        dtype: ``auto`` (bfloat16 on a GPU, float32 on a CPU), ``float32``, ``bfloat16`` …
        batch_size: Prompts at a time.
        max_new_tokens: Maximum tokens of an answer.
        rubric: What it is asked.
    """

    model: str
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int = 8
    max_new_tokens: int = 16
    rubric: Rubric = field(default=GRADES, repr=False)

    def __post_init__(self) -> None:
        check_at_least_one(self, "batch_size", "max_new_tokens")

    @property
    def identity(self) -> str:
        """The model, its precision, the length of an answer, and the prompt."""
        return f"local {self.model} {self._chat.precision} {self.max_new_tokens} {self.rubric.version}"

    def about(self, rubric: Rubric) -> "LocalJudge":
        """The same judge, asked according to a rubric. Both share one loaded model."""
        other = replace(self, rubric=rubric)
        vars(other)["_chat"] = self._chat
        return other

    def ask(self, asked: Sequence[Texts]) -> Ratings:
        """Rate each reply.

        Raises:
            DuetError: The model cannot be loaded, or is no chat model.
        """
        # prompts of a batch have similar lengths, which saves padding
        ordered = sorted(asked, key=lambda texts: len(self.rubric.prompt(texts)))
        for start in range(0, len(ordered), self.batch_size):
            batch = ordered[start : start + self.batch_size]
            yield from zip(batch, map(self.rubric.read, self._answers(batch)), strict=True)

    def _answers(self, batch: Sequence[Texts]) -> list[str]:
        model, tokenizer = self._loaded
        inputs = tokenizer.apply_chat_template(
            [[{"role": "user", "content": _encodable(self.rubric.prompt(texts))}] for texts in batch],
            add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True,
        ).to(model.device)  # fmt: skip
        output = model.generate(
            **inputs, do_sample=False, temperature=None, top_p=None, top_k=None,
            max_new_tokens=self.max_new_tokens, pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
        answers: list[str] = tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return answers

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        return self._chat.loaded

    @cached_property
    def _chat(self) -> "_Chat":
        return _Chat(self.model, self.device, self.dtype)


@dataclass(frozen=True)
class _Chat:
    """A chat model that is loaded when it is first used."""

    model: str
    device: str
    dtype: str

    @cached_property
    def precision(self) -> str:
        return str(choose_dtype(self.dtype, choose_device(self.device))).removeprefix("torch.")

    @cached_property
    def loaded(self) -> tuple[Any, Any]:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        try:
            tokenizer: Any = AutoTokenizer.from_pretrained(self.model, padding_side="left", trust_remote_code=False)
            model: Any = AutoModelForCausalLM.from_pretrained(
                self.model, dtype=self.precision, device_map=self.device, trust_remote_code=False
            )
        # torch raises a different kind of error for every wrong device and dtype, transformers for every wrong file
        except (OSError, ValueError, TypeError, LookupError, AttributeError, AssertionError, RuntimeError) as error:
            raise DuetError(
                f"judge {self.model!r} cannot be loaded with device={self.device!r}, dtype={self.dtype!r}: {error}"
            ) from error
        if tokenizer.chat_template is None:
            raise DuetError(f"judge {self.model!r} has no chat template: give a chat model.")
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return model.eval(), tokenizer


def _encodable(text: str) -> str:
    """The text without lone surrogates, which no tokenizer accepts."""
    return text.encode(errors="replace").decode()
