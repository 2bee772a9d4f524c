"""Jupyter widgets of the MMDuet workbench, one per module; `static/` holds their JavaScript and CSS.

The core package `mmduet` knows nothing of them. A widget is imported when its name is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mmduet_widgets.display import show, showing

if TYPE_CHECKING:
    from mmduet_widgets.dataset_browser import DatasetBrowser
    from mmduet_widgets.duet_player import DuetPlayer
    from mmduet_widgets.live_duet import LiveDuet
    from mmduet_widgets.predictions import prediction_view
    from mmduet_widgets.score_plot import ScorePlot
    from mmduet_widgets.threshold_explorer import ThresholdExplorer
    from mmduet_widgets.training_monitor import TrainingMonitor

_PLACES = {
    "DatasetBrowser": "dataset_browser",
    "DuetPlayer": "duet_player",
    "LiveDuet": "live_duet",
    "ScorePlot": "score_plot",
    "ThresholdExplorer": "threshold_explorer",
    "TrainingMonitor": "training_monitor",
    "prediction_view": "predictions",
}

__all__ = [
    "DatasetBrowser",
    "DuetPlayer",
    "LiveDuet",
    "ScorePlot",
    "ThresholdExplorer",
    "TrainingMonitor",
    "prediction_view",
    "show",
    "showing",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
