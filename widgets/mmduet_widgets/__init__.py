"""Jupyter widgets of the MMDuet workbench: one widget a module, beside its .js and .css.

The core package `mmduet` knows nothing of them.
"""

from mmduet_widgets.display import show
from mmduet_widgets.duet_player import DuetPlayer
from mmduet_widgets.live_duet import LiveDuet

__all__ = ["DuetPlayer", "LiveDuet", "show"]
