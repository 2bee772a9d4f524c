from .app_page import AppPage as AppPage
from .compare_traces import CompareTraces as CompareTraces
from .dataset_browser import DatasetBrowser as DatasetBrowser
from .display import show as show, showing as showing
from .duet_player import DuetPlayer as DuetPlayer
from .live_duet import LiveDuet as LiveDuet
from .prediction_browser import PredictionBrowser as PredictionBrowser
from .predictions import prediction_view as prediction_view
from .score_plot import ScorePlot as ScorePlot
from .threshold_explorer import ThresholdExplorer as ThresholdExplorer
from .training_monitor import TrainingMonitor as TrainingMonitor
