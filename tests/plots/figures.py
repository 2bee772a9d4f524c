"""Traces, frames and tables to draw, and what a figure shows."""

import math

import numpy as np
import pandas as pd

from mmduet import plots
from mmduet.trace import DuetTrace, Response

HOSTILE = ["<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>", "<b>bold</b>", "&lt;i&gt; $x$ and $y$"]


def make_trace(count=12, responses=(), queries=()):
    """Scores that rise and fall, two frames a second."""
    times = np.arange(count) / 2
    informative = 0.5 + 0.4 * np.sin(times)
    return DuetTrace(times, informative, 0.8 - 0.5 * informative, list(responses), list(queries))


def make_words(count=12):
    """The scores of a model that decides in words, a piece of a second each."""
    times = np.arange(count) + 1.0
    reply = 0.5 + 0.4 * np.sin(times)
    return DuetTrace(times, reply=reply, greedy=reply > 0.6)


def pictures(count, height=48, width=64):
    """Frames of one grey each, darker to lighter."""
    greys = np.linspace(0, 250, count).astype(np.uint8)
    return np.broadcast_to(greys[:, None, None, None], (count, 3, height, width))


def named(fig, name):
    """The one trace of that name (or whose name starts with it)."""
    (found,) = [t for t in fig.data if t.name and (t.name == name or t.name.startswith(name + " "))]
    return found


def drawn(values):
    """Indices of the points that are there."""
    return [index for index, value in enumerate(values) if value is not None]


def strings(node):
    """Every string in a figure's JSON."""
    if isinstance(node, str):
        return [node]
    if isinstance(node, dict):
        return [s for value in node.values() for s in strings(value)]
    return [s for value in node for s in strings(value)] if isinstance(node, (list, tuple, np.ndarray)) else []


def examples_and_table(policy, texts=("a cat", "a dog")):
    """Two examples of different length, and two figures over three thresholds."""
    traces = [make_trace(12, [Response(2.0, texts[0])]), make_trace(20)]
    examples = [plots.ReplayedExample(text, t, [(1.0, 3.0, text)]) for text, t in zip(texts, traces, strict=True)]
    index = [0.2, policy.threshold, 0.9]
    table = pd.DataFrame({"a minute": [9.0, 3.0, 0.0], "a rate": [0.2, 0.4, math.nan]}, index=index)
    return examples, table
