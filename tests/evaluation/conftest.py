"""Predictions and references made by hand."""

import json

import numpy as np
import pytest

from mmduet.evaluation.prediction_file import Prediction
from mmduet.trace import DuetTrace, Response


def prediction(name="q", *, relevance=(), fps=1.0, duration=10.0, responses=(), segments=None):
    """One question's prediction; responses: (time, text)."""
    relevance = np.array(relevance, dtype=float)
    times = np.arange(len(relevance)) / fps
    said = [Response(time, text) for time, text in responses]
    return Prediction(name, duration, DuetTrace(times, np.zeros_like(relevance), relevance, said), segments)


@pytest.fixture
def written(tmp_path):
    """Writes lines to a file, objects as JSON, and gives its path."""

    def write(*lines, name="predictions.jsonl"):
        path = tmp_path / name
        path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
        return path

    return write
