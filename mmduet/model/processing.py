"""DuetProcessor: frames -> pixel values, conversation -> text, ids and labels, ids -> a response's text."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, cast

import torch
from pydantic import BaseModel, ConfigDict, Field
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from mmduet.errors import CheckpointError, DuetError
from mmduet.model.duet import IGNORE
from mmduet.model.prompt import IM_END, IMAGE, JOIN, SYSTEM_PROMPT, StreamTurn, TextTurn, Turn, render_turn
from mmduet.model.settings import check_content, checked, read_settings, understanding
from mmduet.video import fit_frames

SETTINGS_FILE = "duet_processor.json"
TOKENIZERS = (("tokenizer.json",), ("tokenizer.model",), ("vocab.json", "merges.txt"))  # any of these makes one
TOKENIZER_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


@dataclass(frozen=True, slots=True)
class FrameSettings:
    """How a frame becomes pixel values and tokens.

    size: pixels along a side. mean, std: of the normalisation, after rescaling by 1/255.
    tokens: language-model tokens a frame takes.
    """

    size: int
    tokens: int
    mean: float = 0.5
    std: float = 0.5


class _Frame(BaseModel):
    """`FrameSettings` as a file has it."""

    model_config = ConfigDict(strict=True, extra="forbid")
    size: Annotated[int, Field(ge=1, le=4096)]
    tokens: Annotated[int, Field(ge=1, le=4096)]
    mean: Annotated[float, Field(allow_inf_nan=False)] = 0.5
    std: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.5


class _Settings(BaseModel):
    """What `DuetProcessor.save_pretrained` writes."""

    model_config = ConfigDict(strict=True)
    frame: _Frame
    system_prompt: str


@dataclass(slots=True)
class EncodedConversation:
    """int64 tensors [L]: ids, LM labels, and the labels of both heads, -100 where there is none."""

    input_ids: torch.Tensor
    labels: torch.Tensor
    informative_labels: torch.Tensor
    relevance_labels: torch.Tensor


class DuetProcessor:
    """The model's eyes and ears: everything between raw input and tensors, and nothing else."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, frame: FrameSettings, *, system_prompt: str = SYSTEM_PROMPT):
        missing = [token for token in (IMAGE, IM_END) if tokenizer.convert_tokens_to_ids(token) is None]
        if missing or tokenizer.convert_tokens_to_ids(IMAGE) == tokenizer.unk_token_id:
            raise CheckpointError(f"the tokenizer lacks {missing or [IMAGE]}; add it as a special token.")
        self.tokenizer, self.frame, self.system_prompt = tokenizer, frame, system_prompt
        self.image_id = cast(int, tokenizer.convert_tokens_to_ids(IMAGE))
        self.end_id = cast(int, tokenizer.convert_tokens_to_ids(IM_END))

    # frames

    def pixel_values(self, frames: torch.Tensor) -> torch.Tensor:
        """uint8 [N, 3, H, W] -> float32 [N, 3, size, size], fitted, padded with black, normalised."""
        if frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[1] != 3:
            raise DuetError(f"frames are {frames.dtype} {tuple(frames.shape)}; give uint8 [N, 3, H, W], RGB.")
        if tuple(frames.shape[-2:]) != (self.frame.size, self.frame.size):
            frames = fit_frames(frames, self.frame.size)
        return (frames.float() / 255 - self.frame.mean) / self.frame.std

    # text

    def ids(self, text: str) -> list[int]:
        """Token ids of a piece of prompt; nothing is added."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"] if text else []

    def vocabulary(self) -> dict[str, int]:
        """Token -> id, of those that are embedded: all but the image token."""
        return {token: index for token, index in self.tokenizer.get_vocab().items() if index != self.image_id}

    def render_turn(self, turn: Turn, *, close: bool = True) -> str:
        """One turn's text, a frame as its image tokens."""
        return render_turn(turn, tokens_per_frame=self.frame.tokens, close=close)

    def system_turn(self) -> TextTurn:
        """The turn every conversation opens with."""
        return TextTurn("system", self.system_prompt)

    def encode(self, turns: Sequence[Turn]) -> EncodedConversation:
        """A training conversation, the system turn put in front.

        LM labels: the learnt assistant turns' content and their closing token. Head labels: on the last
        token of each labelled frame.
        """
        turns = [self.system_turn(), *turns]
        parts: dict[str, list[int]] = {name: [] for name in EncodedConversation.__slots__}
        join = self.ids(JOIN)
        for index, turn in enumerate(turns):
            ids = (join if index else []) + self.ids(self.render_turn(turn))
            columns = {"input_ids": ids, **self._turn_labels(turn, ids)}
            for name, column in parts.items():
                column.extend(columns.get(name) or [IGNORE] * len(ids))
        return EncodedConversation(**{name: torch.tensor(column) for name, column in parts.items()})

    def _turn_labels(self, turn: Turn, ids: list[int]) -> dict[str, list[int]]:
        if isinstance(turn, StreamTurn):
            heads = {"informative_labels": turn.informative, "relevance_labels": turn.relevance}
            return {name: self._frame_labels(ids, labels) for name, labels in heads.items() if labels is not None}
        if turn.role == "assistant" and turn.learn:
            opening = len(self.ids(JOIN)) + len(self.ids(self.render_turn(TextTurn(turn.role, ""), close=False)))
            return {"labels": [IGNORE] * opening + ids[opening:]}
        return {}

    def _frame_labels(self, ids: list[int], labels: Sequence[int]) -> list[int]:
        first = ids.index(self.image_id) if labels else 0
        column = [IGNORE] * len(ids)
        for frame, label in enumerate(labels):
            column[first + (frame + 1) * self.frame.tokens - 1] = label
        return column

    def response_text(self, ids: Sequence[int]) -> str:
        """Generated ids -> text, without any of the tokenizer's special tokens, however they were spelled."""
        text = cast(str, self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))
        specials = self.tokenizer.all_special_tokens
        while any(token in text for token in specials):
            for token in specials:
                text = text.replace(token, "")
        return text

    # files

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the tokenizer and the frame settings."""
        self.tokenizer.save_pretrained(folder)
        settings = {"frame": asdict(self.frame), "system_prompt": self.system_prompt}
        (Path(folder) / SETTINGS_FILE).write_text(json.dumps(settings, indent=1))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "DuetProcessor":
        """Read what `save_pretrained` wrote. Raises CheckpointError when the folder lacks it."""
        path = Path(folder) / SETTINGS_FILE
        if not path.is_file():
            raise CheckpointError(f"{folder} has no {SETTINGS_FILE}: it is no checkpoint of this project.")
        settings = checked(path, _Settings, read_settings(path))
        tokenizer, frame = load_tokenizer(Path(folder)), FrameSettings(**settings.frame.model_dump())
        processor = cls(tokenizer, frame, system_prompt=settings.system_prompt)
        with understanding(path):
            processor.ids(settings.system_prompt)
        return processor


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """A checkpoint's tokenizer. None of its code is run.

    Raises CheckpointError when its files are missing or damaged, or it reads text as nothing.
    """
    if not any(all((folder / name).is_file() for name in names) for names in TOKENIZERS):
        raise CheckpointError(
            f"{folder} has no tokenizer: put the base model's tokenizer.json and tokenizer_config.json there."
        )
    for name in {file for names in TOKENIZERS for file in names} | {*TOKENIZER_SETTINGS}:
        path = folder / name
        if path.is_file():
            check_content(path)
            if name in TOKENIZER_SETTINGS:
                read_settings(path)
    with understanding(folder / "tokenizer.json"):
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
        if not tokenizer(SYSTEM_PROMPT, add_special_tokens=False)["input_ids"]:
            raise CheckpointError(f"{folder}: the tokenizer reads text as nothing: download its files again.")
    return tokenizer
