"""Callbacks of training: a progress bar, memory returned to the system, and a stop on signals."""

import signal
import sys
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from mmduet.system.interrupts import handling
from mmduet.system.memory import return_memory

TRIM_EVERY = 16  # steps
SHOWN = ("lm_loss", "video_loss", "eval_informative_auc", "eval_relevance_auc")


class ReturnMemory(TrainerCallback):
    """Returns free memory to the system every `TRIM_EVERY` steps and after each evaluation.

    Every batch has its own shapes, whose buffers leave holes in glibc's heap: the memory is free, but the process keeps
    it. After every step, the page faults of the next step would take a tenth of its time.
    """

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Return memory every `TRIM_EVERY` steps."""
        if state.global_step % TRIM_EVERY == 0:
            return_memory()

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Return memory."""
        return_memory()

    on_train_end = on_evaluate


class Progress(TrainerCallback):
    """One plain progress bar with the newest figures, which is also readable in a log file."""

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Open the bar."""
        quiet = not state.is_world_process_zero
        self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc="train", unit="step", disable=quiet)
        self.newest: dict[str, float] = {}

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Move the bar."""
        self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **logged: Any) -> None:
        """Show the newest figures."""
        logs = logged["logs"]
        if "loss" in logs:  # a step without words has no lm_loss, and that of an earlier one is not its own
            self.newest = {name: value for name, value in self.newest.items() if name.startswith("eval_")}
        self.newest |= {name: value for name, value in logs.items() if name in SHOWN}
        self.bar.set_postfix(self.newest)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Close the bar."""
        self.bar.close()


class EvaluateAtEnd(TrainerCallback):
    """Evaluates on the validation set after the last step, too."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Request an evaluation after the last step."""
        if state.global_step >= state.max_steps and args.eval_strategy != "no":
            control.should_evaluate = True


class StopOnSignal(TrainerCallback):
    """After SIGTERM or Ctrl-C the step is finished, a checkpoint is written, and training ends.

    A second Ctrl-C ends it at once.

    Attributes:
        requested: Whether any of the processes got a signal.
        interrupted: Whether this process got Ctrl-C.
    """

    def __init__(self) -> None:
        self.requested = self.interrupted = False

    def listening(self) -> AbstractContextManager[None]:
        """Handle the signals within a block. A handler of Ctrl-C other than Python's own stays."""
        handlers = {signal.SIGTERM: self._handle}
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            handlers[signal.SIGINT] = self._handle
        return handling(handlers)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if signum == signal.SIGINT:
            if self.interrupted:
                raise KeyboardInterrupt
            self.interrupted = True
            print("stopping after this step, with a checkpoint; interrupt again to stop at once", file=sys.stderr)
        self.requested = True

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Request a checkpoint and the end of training, once any process got a signal."""
        if args.world_size > 1:  # the signal reaches processes at different steps, and they must stop at the same one
            requested = torch.tensor(float(self.requested), device=args.device)
            dist.all_reduce(requested, dist.ReduceOp.MAX)
            self.requested = bool(requested)
        if self.requested:
            control.should_save = control.should_training_stop = True
