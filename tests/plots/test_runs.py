import math

from mmduet.plots import runs_figure

SHORT = [{"step": 1, "lm_loss": 2.0, "video_loss": 0.5}, {"step": 2, "lm_loss": 1.0, "eval_informative_auc": 0.9}]
OTHER = [{"step": 1, "lm_loss": 3.0}, {"step": 2, "lm_loss": math.nan}]


def test_each_run_has_a_line_in_each_panel_that_it_logged():
    fig = runs_figure({"short": SHORT, "<other>": OTHER})
    lines = [(line.name, line.yaxis, list(line.x), list(line.y)) for line in fig.data]
    assert lines == [
        ("short", "y", [1, 2], [2.0, 1.0]),
        ("&lt;other&gt;", "y", [1], [3.0]),
        ("short", "y2", [1], [0.5]),
        ("short", "y3", [2], [0.9]),
    ]
    titles = [fig.layout[f"yaxis{number}"].title.text for number in ("", 2, 3)]
    assert titles == ["language loss", "video loss", "informative AUC"]
    assert len({line.line.color for line in fig.data}) == 2


def test_before_anything_is_logged_it_says_so():
    assert runs_figure({"empty": []}).layout.annotations[0].text == "nothing logged yet"
