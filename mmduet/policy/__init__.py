"""Policies: when a duet speaks.

A policy is any object with ``need(scores) -> bool``, called once per frame in order, and ``reset()``, called before a
new video. It does not know the model: the same policy drives a live session and replays a finished trace. A policy
may also have a threshold, which plots and widgets then move: see `ThresholdPolicy`.

scores    what a model says of a frame, and the number that policies make of it
contract  what the methods of a policy must return
protocol  what an object needs to be a policy
rules     ScoreThreshold, ScoreSum, Greedy
hysteresis  ScoreHysteresis
replay    decisions at other thresholds
builtin   policies by name
policy_file  a policy that was chosen, as a small file

`__init__.pyi` lists the public names. Each is imported when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
