"""Plotly figures of traces, labels, training runs, metrics and latencies.

Every function takes plain data and returns a figure. Nothing here knows a model, a file or a widget.

`__init__.pyi` lists the public names. Each is imported when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
