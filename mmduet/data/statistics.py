"""Statistics of a mixture: one row per conversation, and the gaps before responses."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmduet.data.mixture import MixtureDataset, TrainingSample
from mmduet.errors import DuetError
from mmduet.model.losses import IGNORE
from mmduet.model.prompt import StreamTurn
from mmduet.trace import Query, Response


class Timeline(NamedTuple):
    """A conversation along time.

    Attributes:
        times: [N], in seconds: when each frame is seen.
        informative: [N]: the informative labels, 0, 1 or -100 (unlabelled).
        relevance: [N]: the relevance labels, likewise.
        turns: Queries and responses, each at the time of the frame before it.
    """

    times: NDArray[np.float64]
    informative: NDArray[np.int64]
    relevance: NDArray[np.int64]
    turns: list[Query | Response]


def timeline(sample: TrainingSample) -> Timeline:
    """Lay a conversation along time."""
    informative: list[int] = []
    relevance: list[int] = []
    turns: list[Query | Response] = []
    first = sample.conversation.first_frame
    for turn in sample.conversation.turns:
        if isinstance(turn, StreamTurn):
            informative += turn.informative or (IGNORE,) * turn.frames
            relevance += turn.relevance or (IGNORE,) * turn.frames
            continue
        time = (first + max(len(informative) - 1, 0)) / sample.fps
        turns.append(Query(time, turn.text) if turn.role == "user" else Response(time, turn.text))
    times = (first + np.arange(len(informative))) / sample.fps
    return Timeline(times, np.array(informative, np.int64), np.array(relevance, np.int64), turns)


def mixture_frame(dataset: MixtureDataset) -> pd.DataFrame:
    """Tabulate a mixture.

    Returns:
        One row per conversation: kind, video, duration (in seconds), frames, responses, and the number of frames that
        each head's labels mark (informative, relevant).

    Raises:
        DuetError: The mixture has no samples.
    """
    if not len(dataset):
        raise DuetError(f"{dataset.path} has no samples: give a mixture that has some.")
    return pd.DataFrame(_row(dataset, index) for index in range(len(dataset)))


def _row(dataset: MixtureDataset, index: int) -> dict[str, Any]:
    sample, laid = dataset.samples[index], timeline(dataset[index])
    return {
        "kind": sample.kind,
        "video": sample.video.name,
        "duration": sample.duration,
        "frames": len(laid.times),
        "responses": sum(isinstance(turn, Response) for turn in laid.turns),
        "informative": int((laid.informative == 1).sum()),
        "relevant": int((laid.relevance == 1).sum()),
    }


def response_gaps(dataset: MixtureDataset) -> NDArray[np.float64]:
    """Seconds [n] between each response of the mixture and the previous turn."""
    gaps: list[float] = []
    for index in range(len(dataset)):
        turns = timeline(dataset[index]).turns
        gaps += [turn.time - before.time for before, turn in pairwise(turns) if isinstance(turn, Response)]
    return np.array(gaps)
