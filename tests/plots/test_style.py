"""The template and text."""

import html
import re
import subprocess
import sys

import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
import pytest

from mmduet import plots
from mmduet.plots import Span
from mmduet.plots.colors import DECISION_COLOR, HEAD_COLORS, INK, QUERY_COLOR, RESPONSE_COLOR, SERIES_COLORS
from mmduet.policy import ScoreThreshold
from mmduet.trace import Query, Response
from tests.plots.figures import HOSTILE, examples_and_table, make_trace, named, strings


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_models_and_annotations_is_never_markup(text):
    trace = make_trace(40, [Response(2.0, text)], [Query(0.0, text)])
    figures = [
        plots.score_figure(trace, ScoreThreshold(0.5), spans=[Span(0.0, 20.0, text)], title=text),
        plots.label_figure(trace.times, turns=[*trace.queries, *trace.responses], title=text),
        plots.training_figure([], title=text),
        plots.auc_figure([0, 1], [0.1, 0.9], "relevance", title=text),
        plots.distribution_figure([1.0, 2.0], text, text),
        plots.staircase_figure([plots.ScoredSpan(0.0, 20.0, text, 0.5, [(0.0, 20.0, 1.0)])], title=text),
        plots.threshold_figure(
            pd.DataFrame({text: [0.1, 0.2]}, index=[0.3, 0.5]),
            [plots.ReplayedExample("an example", trace, [(0.0, 2.0, text)])],
            ScoreThreshold(0.5),
            title=text,
        ),
    ]
    for fig in figures:
        found = [s for s in strings(fig.to_plotly_json()) if "alert" in s or "bold" in s or "i&" in s]
        assert found, "the text is somewhere"
        for shown in found:
            body = re.sub(r"^<b>[a-z]+(?: at|,) [\d. a-z]+</b>", "", shown).replace("<br>", " ")
            assert "<" not in body
            assert "$" not in body, "between dollars plotly sets TeX"
            assert text in " ".join(html.unescape(body).split())
        assert "</script><script>" not in fig.to_html(include_plotlyjs=False)


def test_names_of_examples_are_never_markup():
    examples, table = examples_and_table(ScoreThreshold(0.5), texts=("<b>$x$", "<i>" * 100))
    ticks = plots.threshold_figure(table, examples, ScoreThreshold(0.5)).layout.yaxis3.ticktext
    assert ticks[0] == "&lt;b&gt;&#36;x&#36;"
    assert "<" not in ticks[1]
    assert len(html.unescape(ticks[1])) == 24


def test_long_text_is_wrapped_on_hover_and_shortened_next_to_the_mark():
    text = "word " * 1000
    fig = plots.score_figure(make_trace(responses=[Response(1.0, text)]), ScoreThreshold(0.5))
    lines = named(fig, "said").hovertext[0].split("<br>")
    assert len(lines) == 21
    assert max(map(len, lines)) <= 62
    (shown,) = next(t for t in fig.data if t.name == "said, text").text
    assert shown.endswith("…")
    assert len(shown) < 130


def test_the_template_is_see_through_and_no_default_changes():
    template = pio.templates["mmduet"]
    assert template.layout.paper_bgcolor == template.layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert pio.templates.default == "plotly"
    fig = plots.distribution_figure([1.0], "x", "s")
    assert isinstance(fig, go.Figure)
    assert fig.layout.template.layout.font.color == INK


def luminance(color):
    """Relative luminance (WCAG 2.2)."""
    shares = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("page", ["#ffffff", "#fbfaf8", "#15181d", "#1d2128", "#111111"])
def test_every_curve_stands_out_from_light_and_dark_pages(page):
    colors = {*HEAD_COLORS.values(), *SERIES_COLORS, RESPONSE_COLOR, QUERY_COLOR, DECISION_COLOR, INK}
    for color in colors:
        low, high = sorted([luminance(color), luminance(page)])
        assert (high + 0.05) / (low + 0.05) >= 3, f"{color} on {page} (WCAG 2.2, 1.4.11)"


def test_plots_load_no_torch():
    code = "import sys, mmduet.plots; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
