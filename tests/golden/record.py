"""Make the QVHighlights part of the golden set: generated questions and predictions, and this project's figures.

    python -m tests.golden.record

The published code's figures for this benchmark belong to the data set's own annotations, which are not in this
repository. The figures recorded here are those of the implementation that was compared with them. Run it again only
when a change of the figures is intended.
"""

import json
import random
from pathlib import Path

from typer.testing import CliRunner

from mmduet.cli import app

FOLDER = Path(__file__).parent / "evaluation"
QUESTIONS, CLIP, CLIPS = 20, 2, 30  # a clip has 2 s
OPTIONS = [["--window", "0"], ["--window", "2"], ["--window", "2", "--threshold", "0.7"]]


def question(number: int, rng: random.Random) -> tuple[dict, dict]:
    """A reference with one relevant window, and a prediction whose scores are higher inside it."""
    first = rng.randrange(10)
    last = first + rng.randrange(2, 20)
    clips = list(range(first, last))
    reference = {
        "qid": number,
        "query": f"query {number}",
        "vid": f"video {number}",
        "duration": CLIP * CLIPS,
        "relevant_clip_ids": clips,
        "saliency_scores": [[rng.randrange(5) for _ in range(3)] for _ in clips],
        "relevant_windows": [[CLIP * first, CLIP * last]],
    }
    scores = [round(0.5 * (CLIP * first <= time < CLIP * last) + rng.random(), 3) / 2 for time in range(CLIP * CLIPS)]
    frames = [{"time": time, "informative_score": 0, "relevance_score": score} for time, score in enumerate(scores)]
    prediction = {
        "question_id": number,
        "video_duration": CLIP * CLIPS,
        "model_response_list": [],
        "debug_data": frames,
    }
    return reference, prediction


def main() -> None:
    """Write the questions, the predictions and the figures."""
    rng = random.Random(0)
    references, predictions = zip(*(question(number, rng) for number in range(QUESTIONS)), strict=True)
    files = {"references": references, "predictions": predictions}
    for name, rows in files.items():
        lines = [json.dumps(row, separators=(",", ":")) + "\n" for row in rows]
        (FOLDER / f"qvhighlights_{name}.jsonl").write_text("".join(lines))
    rows = [{"benchmark": "qvhighlights", "options": options, "tolerance": 1e-9} for options in OPTIONS]
    for row in rows:
        row["figures"] = figures("qvhighlights", row["options"])
    (FOLDER / "recorded.json").write_text(json.dumps(rows, indent=1))


def figures(benchmark: str, options: list[str]) -> dict[str, float]:
    """Evaluate the golden predictions of a benchmark with `mmduet evaluate`: metric -> value."""
    output = FOLDER / "figures.json"
    references = next(FOLDER.glob(f"{benchmark}_references.json*"))
    files = ["--predictions", str(FOLDER / f"{benchmark}_predictions.jsonl"), "--references", str(references)]
    paths = [str(FOLDER / option) if option.endswith(".jsonl") else option for option in options]
    try:
        done = CliRunner().invoke(app, ["evaluate", benchmark, *files, *paths, "--output", str(output)])
        assert done.exit_code == 0, done.output
        return {name: figure["value"] for name, figure in json.loads(output.read_text()).items()}
    finally:
        output.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
