"""Makes the README's pictures with `mini` and a test clip of `scenes`, through headless Chromium.

python -m docs.pictures
"""

import tempfile
from pathlib import Path

from mmduet import DuetSession, Query, ScoreThreshold, load_duet, read_frames
from mmduet.data.annotations import read_json
from mmduet.data.conversations import NARRATION_INSTRUCTIONS
from mmduet.data.scenes import make_scenes
from mmduet.plots import Span, score_figure
from tests.chromium import open_browser, until

CLIP = 2
FOLDER = Path(__file__).parent


def main() -> None:
    """Watch the clip and photograph the figure."""
    model, processor = load_duet("mini")
    folder = make_scenes("datasets", train=0, val=0, test=CLIP + 1)
    truth = read_json(folder / "annotations/test_scenes.json")[CLIP]
    frames = read_frames(folder / "videos/test" / truth["video"], fps=2, size=processor.frame.size).frames
    policy = ScoreThreshold(0.5)
    session = DuetSession(model, processor, policy=policy, max_new_tokens=40)
    trace = session.run(frames, [Query(0.0, NARRATION_INSTRUCTIONS[0])], progress=True)
    spans = [Span(scene["start"], scene["end"], scene["concept"]) for scene in truth["scenes"]]
    figure = score_figure(trace, policy, frames=frames, spans=spans)
    figure.update_layout(paper_bgcolor="white")
    photograph(figure.to_html(config={"displayModeBar": False}), FOLDER / "score_plot.png", figure.layout.height)


def photograph(page: str, path: Path, height: float) -> None:
    """Open a page in Chromium and keep what it shows, 1000 pixels wide."""
    with open_browser() as browser, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.html"
        file.write_text(page, encoding="utf-8")
        shown = browser.new_page(viewport={"width": 1000, "height": int(height) + 20})
        shown.goto(file.as_uri())
        until(
            shown, "[...document.querySelectorAll('.plot, .js-plotly-plot')].every((p) => p.querySelector('.main-svg'))"
        )
        shown.screenshot(path=path)


if __name__ == "__main__":
    main()
