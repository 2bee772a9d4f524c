"""DuetProcessor: frames to pixel values, conversations to ids and labels, generated ids to text."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, islice, repeat
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import torch
from transformers import PreTrainedTokenizerBase

from mmduet.errors import CheckpointError, DuetError
from mmduet.files.config_files import checked, read_settings, understanding
from mmduet.model.frame_settings import Channels, ProcessorFile
from mmduet.model.frame_settings import FrameSettings as FrameSettings
from mmduet.model.losses import IGNORE
from mmduet.model.prompt import CHATML, SYSTEM_PROMPT, ChatFormat, StreamTurn, TextTurn, Turn
from mmduet.model.tokenizer import load_tokenizer
from mmduet.video import fit_frames

SETTINGS_FILE = "duet_processor.json"


@dataclass(slots=True)
class EncodedConversation:
    """A training conversation as int64 tensors [L]; -100 where there is no label."""

    input_ids: torch.Tensor
    labels: torch.Tensor
    informative_labels: torch.Tensor
    relevance_labels: torch.Tensor


class DuetProcessor:
    """Everything between raw input and tensors.

    Attributes:
        silence: The answer that means silence, of a model that decides in words.
        must_reply: How an answer begins that may not be silence.
    """

    silence: ClassVar[str] = ""
    must_reply: ClassVar[str] = ""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        frame: FrameSettings,
        *,
        system_prompt: str = SYSTEM_PROMPT,
        chat: ChatFormat = CHATML,
    ):
        """Combine a tokenizer, the frame settings and a chat format.

        Raises:
            CheckpointError: The tokenizer lacks the chat format's image or end token.
        """
        missing = [token for token in (chat.image, chat.end) if tokenizer.convert_tokens_to_ids(token) is None]
        if missing or tokenizer.convert_tokens_to_ids(chat.image) == tokenizer.unk_token_id:
            raise CheckpointError(f"the tokenizer lacks {missing or [chat.image]}; add it as a special token.")
        self.tokenizer, self.frame, self.system_prompt, self.chat = tokenizer, frame, system_prompt, chat
        self.image_id = cast(int, tokenizer.convert_tokens_to_ids(chat.image))
        self.end_id = cast(int, tokenizer.convert_tokens_to_ids(chat.end))
        self.around_frame = self.ids(chat.frame_start), self.ids(chat.frame_end)

    # frames

    def pixel_values(self, frames: torch.Tensor) -> torch.Tensor:
        """Turn uint8 [N, 3, H, W] into float32 [N, 3, size, size]: fitted as the settings say, normalised.

        Raises:
            DuetError: The frames have another type or shape.
        """
        if frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[1] != 3:
            raise DuetError(f"frames are {frames.dtype} {tuple(frames.shape)}; give uint8 [N, 3, H, W], RGB.")
        if tuple(frames.shape[-2:]) != (self.frame.size, self.frame.size):
            frames = fit_frames(frames, self.frame.fit)
        mean, std = (_by_channel(value, frames.device) for value in (self.frame.mean, self.frame.std))
        return (frames.float() / 255 - mean) / std

    def set_frames_per_turn(self, frames: int) -> None:
        """Set the frames of a user's turn in training conversations. Raises DuetError: a model with heads has none."""
        raise DuetError(f"frames_per_turn={frames}: a model with heads is not asked by turns: leave it out.")

    def set_max_pixels(self, pixels: int) -> None:
        """Set the most pixels of a frame. Raises DuetError: MMDuet's own frames have one size."""
        raise DuetError(f"max_pixels={pixels}: every frame of this model has {self.frame.size} pixels a side.")

    def frame_counts(self, pixel_values: torch.Tensor) -> list[int]:
        """Return the image tokens of each frame of `pixel_values`."""
        return [self.frame.tokens] * len(pixel_values)

    def joined(self, pixel_values: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Make the frame arguments of the model's forward of several videos' pixel values."""
        return {"pixel_values": torch.cat(list(pixel_values))}

    def settings(self) -> dict[str, Any]:
        """Return the settings that change a training batch, by name: a run is resumed with the same only."""
        return {"frame": asdict(self.frame), "system_prompt": self.system_prompt}

    # text

    def ids(self, text: str) -> list[int]:
        """Tokenise a piece of prompt; nothing is added."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"] if text else []

    def frame_ids(self, tokens: int) -> list[int]:
        """Return the ids of a frame of this many image tokens, with the tokens around it."""
        before, after = self.around_frame
        return [*before, *[self.image_id] * tokens, *after]

    def vocabulary(self) -> dict[str, int]:
        """Return token -> id of the tokens that are embedded: all but the image token."""
        return {token: index for token, index in self.tokenizer.get_vocab().items() if index != self.image_id}

    def render_turn(self, turn: Turn, *, close: bool = True, frame_tokens: Sequence[int] | None = None) -> str:
        """Return one turn's text, a frame as its image tokens.

        Args:
            turn: The turn.
            close: Whether the turn is closed.
            frame_tokens: Image tokens of each frame of a stream turn. None: `FrameSettings.tokens` each.
        """
        if frame_tokens is None:
            frame_tokens = [self.frame.tokens] * (turn.frames if isinstance(turn, StreamTurn) else 0)
        return self.chat.render_turn(turn, frame_tokens, close=close)

    def render(self, turns: Sequence[Turn], *, close: bool = True) -> str:
        """Return a conversation's text; close=False leaves the last turn open."""
        last = len(turns) - 1
        return self.chat.join.join(self.render_turn(turn, close=close or i < last) for i, turn in enumerate(turns))

    def system_turn(self) -> TextTurn:
        """Return the turn that every conversation opens with."""
        return TextTurn("system", self.system_prompt)

    def encode(self, turns: Sequence[Turn], *, frame_tokens: Sequence[int] | None = None) -> EncodedConversation:
        """Encode a training conversation, with the system turn in front.

        Language-model labels are the learnt assistant turns' content and their closing token. Head labels are at the
        last token of each labelled frame.

        Args:
            turns: The conversation.
            frame_tokens: Image tokens of each of its frames, in order. None: `FrameSettings.tokens` each.
        """
        turns = [self.system_turn(), *turns]
        counts = iter(frame_tokens) if frame_tokens is not None else repeat(self.frame.tokens)
        parts: dict[str, list[int]] = {name: [] for name in EncodedConversation.__slots__}
        join = self.ids(self.chat.join)
        for index, turn in enumerate(turns):
            own = _take(counts, turn)
            ids = (join if index else []) + self.ids(self.render_turn(turn, frame_tokens=own))
            columns = {"input_ids": ids, **self._turn_labels(turn, ids, own)}
            for name, column in parts.items():
                column.extend(columns.get(name) or [IGNORE] * len(ids))
        return EncodedConversation(**{name: torch.tensor(column) for name, column in parts.items()})

    def _turn_labels(self, turn: Turn, ids: list[int], frame_tokens: Sequence[int]) -> dict[str, list[int]]:
        if isinstance(turn, StreamTurn):
            heads = {"informative_labels": turn.informative, "relevance_labels": turn.relevance}
            return {
                name: self._frame_labels(ids, labels, frame_tokens)
                for name, labels in heads.items()
                if labels is not None
            }
        if turn.role == "assistant" and turn.learn:
            opening = len(self.ids(self.chat.join)) + len(self.ids(self.chat.open_turn(turn.role)))
            return {"labels": [IGNORE] * opening + ids[opening:]}
        return {}

    def _frame_labels(self, ids: list[int], labels: Sequence[int], frame_tokens: Sequence[int]) -> list[int]:
        first = ids.index(self.image_id) if labels else 0
        column = [IGNORE] * len(ids)
        before, after = map(len, self.around_frame)
        ends = accumulate(before + tokens + after for tokens in frame_tokens)
        for end, label in zip(ends, labels, strict=True):
            column[first - before + end - 1] = label
        return column

    def response_text(self, ids: Sequence[int]) -> str:
        """Decode generated ids, without any of the tokenizer's special tokens, however they were spelled."""
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
    def from_pretrained(cls, folder: str | Path, decides: Literal["heads", "words"] = "heads") -> "DuetProcessor":
        """Read the files that `save_pretrained` wrote.

        Args:
            folder: The checkpoint.
            decides: How the model decides; MMDuet's own has heads.

        Raises:
            CheckpointError: A file is missing or damaged.
        """
        path = Path(folder) / SETTINGS_FILE
        if not path.is_file():
            raise CheckpointError(f"{folder} has no {SETTINGS_FILE}: it is no checkpoint of this project.")
        settings = checked(path, ProcessorFile, read_settings(path))
        tokenizer, frame = load_tokenizer(Path(folder)), FrameSettings(**settings.frame.model_dump())
        processor = cls(tokenizer, frame, system_prompt=settings.system_prompt)
        with understanding(path):
            processor.ids(settings.system_prompt)
        return processor


def _by_channel(value: Channels, device: torch.device) -> float | torch.Tensor:
    return value if isinstance(value, (int, float)) else torch.tensor(value, device=device).view(3, 1, 1)


def _take(counts: Iterator[int], turn: Turn) -> list[int]:
    """The token counts of a turn's frames."""
    return list(islice(counts, turn.frames)) if isinstance(turn, StreamTurn) else []
