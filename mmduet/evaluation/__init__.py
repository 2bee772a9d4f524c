"""Evaluation: benchmarks, predictions and scores.

* ``evaluate.run`` asks a benchmark's questions and scores the answers; notebooks use it.
* ``benchmark`` defines what a `Benchmark` is, and ``benchmarks`` holds the built-in ones.
* ``predict`` asks the questions, and ``prediction_file`` reads and writes the file of answers.
* ``baselines`` asks a ``chat_model`` them instead, about whole videos.
* ``items`` and ``references`` read test files, and ``coverage`` matches them with predictions.
* ``metrics`` and ``judges`` score; ``table`` puts figures beside the published ones.
* ``response_timing`` measures when a model responds, in the same way for every benchmark.

`__init__.pyi` lists the public names. Each is imported when it is first used, so that this package loads no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
