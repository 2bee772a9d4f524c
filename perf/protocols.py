"""What each difference between the two protocols does to `mini`'s scores on test clips of `scenes`.

    python perf/protocols.py --clips 10

Each row switches on one thing that the published inference does otherwise than training, on top of the training
protocol, in a situation where it shows; the last row is the whole upstream protocol.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from tqdm import tqdm

from mmduet import DuetSession, DuetTrace, ScoreThreshold, load_duet, read_frames
from mmduet.data.kinds.narration import NARRATION_INSTRUCTIONS
from mmduet.data.scenes import make_scenes
from mmduet.streaming.protocol import ContextProtocol, StreamState, TrainingProtocol, UpstreamProtocol


class NoSystemTurn(TrainingProtocol):
    """A query that comes first takes the system turn's place."""

    def query(self, state: StreamState, text: str) -> list[int]:
        if state.context:
            return super().query(state, text)
        return self.ids(self.texts.join + self.texts.user + text + self.texts.end)


class NoStreamHeader(TrainingProtocol):
    """The first frames follow the system turn with no header."""

    def frame(self, state: StreamState) -> list[int]:
        return super().frame(state) if state.context else self.ids(self.texts.system)


class LostLastToken(TrainingProtocol):
    """A query right after a kept response: the response's closing token never enters."""

    def query(self, state: StreamState, text: str) -> list[int]:
        if state.last == "response" and not state.stream_open:
            state.crop(len(state.context) - 1)
        return super().query(state, text)


class NeverClosed(TrainingProtocol):
    """A query right after a removed response: the stream turn before it is not closed."""

    def query(self, state: StreamState, text: str) -> list[int]:
        ids = super().query(state, text)
        return ids[len(self.ids(self.texts.end)) :] if state.last == "response" and state.stream_open else ids


@dataclass(frozen=True)
class Situation:
    """name: for the table. protocol: the one to hold against training's. first: ask at time 0. again: ask right after
    the first response. remove: responses leave the context.
    """

    name: str
    protocol: type
    first: bool = True
    again: bool = False
    remove: bool = False


SITUATIONS = (
    Situation("no system turn where a query comes first", NoSystemTurn),
    Situation("no stream header before the first frames", NoStreamHeader, first=False),
    Situation("a kept response's last token lost to a query", LostLastToken, again=True),
    Situation("stream never closed after a removed response", NeverClosed, again=True, remove=True),
    Situation("all of upstream, responses kept", UpstreamProtocol, again=True),
    Situation("all of upstream, responses removed", UpstreamProtocol, again=True, remove=True),
)


def watch(session: DuetSession, protocol: ContextProtocol, frames: torch.Tensor, situation: Situation) -> DuetTrace:
    """One clip under one protocol; the second question comes right after the first response of the reference run."""
    session.protocol = protocol
    session.reset()
    if situation.first:
        session.ask(NARRATION_INSTRUCTIONS[0])
    events, asked = [], not situation.again
    for frame in frames:
        heard = list(session.feed(frame[None]))
        events += heard
        if not asked and session.state.last == "response":
            session.ask("What comes next?")
            asked = True
    return DuetTrace.from_events(events)


def compare(session: DuetSession, clips: list[torch.Tensor], situation: Situation) -> list[float]:
    """Mean |difference| of both heads' scores, share of frames whose decision flips, and responses of both."""
    differences, flips, said = [], [], [0, 0]
    for frames in tqdm(clips, desc=situation.name[:30], unit="clip"):
        session.remove_assistant_turns = situation.remove
        traces = [
            watch(session, protocol(session.processor), frames, situation)
            for protocol in (TrainingProtocol, situation.protocol)
        ]
        informative, relevance = ([getattr(trace, head) for trace in traces] for head in ("informative", "relevance"))
        differences.append([abs(np.subtract(*informative)).mean(), abs(np.subtract(*relevance)).mean()])
        flips.append(np.mean((informative[0] > 0.5) != (informative[1] > 0.5)))
        said = [count + len(trace.responses) for count, trace in zip(said, traces, strict=True)]
    return [*np.mean(differences, 0), float(np.mean(flips)), *said]


def main(
    clips: Annotated[int, typer.Option(help="Test clips of scenes.")] = 10,
    model: Annotated[str, typer.Option(help="Preset or checkpoint folder.")] = "mini",
    data: Annotated[Path, typer.Option(help="Folder that holds scenes/, or gets it.")] = Path("datasets"),
) -> None:
    """Print the table."""
    duet, processor = load_duet(model)
    folder = make_scenes(data, train=0, val=0, test=clips) / "videos" / "test"
    paths = sorted(folder.glob("*.mp4"))[:clips]
    pictures = [read_frames(path, fps=2, size=processor.frame.fit).frames for path in paths]
    session = DuetSession(duet, processor, policy=ScoreThreshold(0.5), max_new_tokens=40)
    rows = [(situation.name, *compare(session, pictures, situation)) for situation in SITUATIONS]
    print("| difference | mean change, informative | relevance | decisions flipped | responses: training, this |")
    print("| --- | --- | --- | --- | --- |")
    for name, informative, relevance, flipped, before, after in rows:
        print(f"| {name} | {informative:.4f} | {relevance:.4f} | {flipped:.1%} | {before:.0f}, {after:.0f} |")


if __name__ == "__main__":
    typer.run(main)
