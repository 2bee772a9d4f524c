"""LiveState: what a live player shares with its page, beyond the state of a finished one."""

from typing import Any

import traitlets as t

from mmduet_widgets.duet_player import DuetPlayer

NOT_STARTED = {"spans": [], "thresholds": [], "state": "idle", "message": "", "stale": False}


class LiveState(DuetPlayer):
    """The traits of a live player: its settings, which the page may set, and the state of its run.

    `picture` is a frame that the model sees (time, s; jpeg), sent while `frames_wanted`. `progress` has how far the run
    is `behind` the clip and how long the rest takes (`left`, None where it is not known), s. `heartbeat` rises once a
    second during a run, and `heard` is the number of the page's last command. `upload` is as `Uploads.state`.
    """

    clips: "t.List[Any]" = t.List(t.Unicode(), read_only=True).tag(sync=True)
    examples: "t.List[Any]" = t.List(t.Unicode(), read_only=True).tag(sync=True)
    clip = t.Unicode().tag(sync=True)
    modes: "t.List[Any]" = t.List(read_only=True).tag(sync=True)
    mode = t.Unicode().tag(sync=True)
    heads: "t.List[Any]" = t.List(t.Unicode()).tag(sync=True)
    frame_fps = t.Float().tag(sync=True)
    remove_assistant_turns = t.Bool().tag(sync=True)
    repetition_penalty = t.Float().tag(sync=True)
    real_time = t.Bool(True).tag(sync=True)
    state = t.Unicode("idle", read_only=True).tag(sync=True)
    message = t.Unicode(read_only=True).tag(sync=True)
    waiting: "t.List[Any]" = t.List(t.Unicode(), read_only=True).tag(sync=True)
    thresholds: "t.List[Any]" = t.List(read_only=True).tag(sync=True)
    stale = t.Bool(read_only=True).tag(sync=True)
    picture = t.Dict(read_only=True).tag(sync=True)
    frames_wanted = t.Bool().tag(sync=True)
    progress = t.Dict(read_only=True).tag(sync=True)
    upload = t.Dict(read_only=True).tag(sync=True)
    heartbeat = t.Int(read_only=True).tag(sync=True)
    heard = t.Int(read_only=True).tag(sync=True)
