"""`mmduet baseline`: ask a chat model a benchmark's questions about whole videos."""

from pathlib import Path
from typing import Annotated

import typer

from mmduet.cli.predict import BENCHMARK, end
from mmduet.cli.root import DEVICE, DTYPE, app, resumable

MODEL = Annotated[
    str, typer.Option(help="A folder or hub id of an image-text-to-text model of transformers with a chat template.")
]
PROMPT = Annotated[
    str | None,
    typer.Option(
        help="Form of the times in the answer: tc, seconds as TimeChat writes them, or vt, percent as VTimeLLM does.",
        show_default="tc",
    ),
]
CHUNKS = Annotated[
    float | None,
    typer.Option(help="Instead of a prompt: ask about each chunk of this many seconds by itself; published: 2 or 5."),
]
ASKS = Annotated[
    str | None,
    typer.Option(
        help="What a question asks for: span, or segments with texts.",
        show_default="segments if the benchmark's references have texts, else span",
    ),
]
FRAME_FPS = Annotated[
    float | None,
    typer.Option(
        help="Frames a second; 0: max-frames cover what is shown.", show_default="as published for the benchmark"
    ),
]


@app.command()
def baseline(
    benchmark: BENCHMARK,
    model: MODEL,
    references: Annotated[Path, typer.Option(help="The benchmark's test file.")],
    videos: Annotated[Path, typer.Option(help="Folder of its videos.")],
    output: Annotated[Path, typer.Option(help="Prediction file to write or to resume (JSONL).")],
    prompt: PROMPT = None,
    chunks: CHUNKS = None,
    asks: ASKS = None,
    dtype: DTYPE = "auto",
    device: DEVICE = "auto",
    frame_fps: FRAME_FPS = None,
    max_frames: Annotated[int, typer.Option(min=1, help="Maximum frames that the model sees at once.")] = 32,
    frame_size: Annotated[int, typer.Option(min=1, help="Frames are squares of this many pixels a side.")] = 384,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Maximum tokens of an answer.")] = 512,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only the first questions, this many.")] = None,
) -> None:
    """Ask a chat model a benchmark's questions about whole videos, and write one line for each answer.

    The model sees a whole video as images, and writes times in its text, in the form of the paper's LLaVA-OV-TC
    (--prompt tc) or LLaVA-OV-VT (--prompt vt). With --chunks 2 it is asked about each 2 s by itself: whether the
    question can be answered from them, and if so, the question. `mmduet evaluate` reads the file.

    The paper publishes neither weights nor prompts of its baselines: figures of others do not compare with its rows.

    The same command resumes a run that was killed, and asks failed questions again. Each failed question has a line
    with its error, and the status is then 1. Two processes: torchrun --nproc-per-node 2 -m mmduet …
    """
    from mmduet.evaluation.baselines import run, settings_for
    from mmduet.evaluation.chat_model import load_chat_model
    from mmduet.evaluation.prediction_file import check_output
    from mmduet.evaluation.processes import own_device
    from mmduet.evaluation.references import read_questions
    from mmduet.system.workers import end_with_launcher

    end_with_launcher()
    settings = settings_for(
        benchmark, prompt=prompt, chunks=chunks, asks=asks, frame_fps=frame_fps, max_frames=max_frames,
        frame_size=frame_size, max_new_tokens=max_new_tokens,
    )  # fmt: skip
    check_output(output, inputs=[references, videos, model])
    questions = read_questions(references, benchmark)[:limit]
    with resumable(lambda: f"the answers so far are in {output}, and the same command asks the other questions."):
        chat = load_chat_model(model, dtype=dtype, device=own_device(device))
        identity = {"benchmark": benchmark, "model": model, "dtype": str(chat.model.dtype).removeprefix("torch.")}
        outcome = run(chat, questions, videos, output, settings=settings, identity=identity)
    end(outcome)
