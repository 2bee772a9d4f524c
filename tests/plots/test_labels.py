"""label_figure."""

import numpy as np
import pytest

from mmduet import plots
from mmduet.errors import DuetError
from mmduet.plots.colors import HEAD_COLORS
from mmduet.plots.labels import CELL_KINDS
from mmduet.trace import Query, Response
from tests.plots.figures import named, pictures


def test_labels_are_cells_of_their_heads_colour():
    fig = plots.label_figure(
        np.arange(4) / 2,
        informative=[0, 1, 1, -100],
        turns=[Query(0.0, "narrate"), Response(1.5, "a cat")],
        frames=pictures(4),
    )
    cells = named(fig, "labels")
    meaning = [name for _, name in CELL_KINDS]
    shown = [[meaning[code] for code in row] for row in cells.z]
    assert shown == [["0", "informative 1", "informative 1", "unlabelled"], ["unlabelled"] * 4]
    assert list(cells.x) == [0.0, 0.5, 1.0, 1.5, 2.0], "edges: from each frame's time to the next one's"
    assert cells.hovertext[0][1] == "frame 1, 0.5 s<br>informative: 1"
    scale = dict(cells.colorscale[1::2])
    assert scale[0.75] == HEAD_COLORS["informative"]
    assert scale[1.0] == HEAD_COLORS["relevance"]
    assert list(named(fig, "said").x) == [1.5]
    assert list(named(fig, "asked").x) == [0.0]
    assert len(fig.layout.images) == 4


@pytest.mark.parametrize("count", [0, 1, 2000])
def test_labels_of_any_number_of_frames(count):
    fig = plots.label_figure(np.arange(count) / 2, relevance=np.ones(count, int))
    assert len(fig.to_json()) < 1_000_000
    assert ("no frames" in [note.text for note in fig.layout.annotations]) == (count == 0)


def test_labels_that_do_not_fit_are_refused():
    with pytest.raises(DuetError, match=r"relevance labels: shape \[3\] for 2 frames"):
        plots.label_figure([0.0, 0.5], relevance=[0, 1, 0])
    with pytest.raises(DuetError, match="informative labels: 2 among them"):
        plots.label_figure([0.0, 0.5], informative=[0, 2])
