"""What happens beside the steps: a progress bar, free memory given back, a stop when the process is asked to."""

import signal
import sys
from contextlib import AbstractContextManager

import torch
import torch.distributed as dist
from tqdm import tqdm
from transformers import TrainerCallback

from mmduet.system.interrupts import handling
from mmduet.system.memory import return_memory

TRIM_EVERY = 16  # steps
SHOWN = ("lm_loss", "video_loss", "eval_informative_auc", "eval_relevance_auc")


class ReturnMemory(TrainerCallback):
    """Every batch has shapes of its own, whose buffers leave holes in glibc's heap: memory that is free, and still the
    process's. Give it back now and then, and after each look at the validation set; after every step, the next one's
    page faults would cost a tenth of its time.
    """

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step % TRIM_EVERY == 0:
            return_memory()

    def on_evaluate(self, args, state, control, **kwargs):
        return_memory()

    on_train_end = on_evaluate


class Progress(TrainerCallback):
    """One plain bar with the newest figures: also readable in a log, where a widget is not."""

    def on_train_begin(self, args, state, control, **kwargs):
        quiet = not state.is_world_process_zero
        self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc="train", unit="step", disable=quiet)
        self.newest = {}

    def on_step_end(self, args, state, control, **kwargs):
        self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.newest |= {name: value for name, value in logs.items() if name in SHOWN}
        self.bar.set_postfix(self.newest)

    def on_train_end(self, args, state, control, **kwargs):
        self.bar.close()


class LastLook(TrainerCallback):
    """The validation set is looked at after the last step, too."""

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step >= state.max_steps and args.eval_strategy != "no":
            control.should_evaluate = True


class StopWhenAsked(TrainerCallback):
    """After SIGTERM or Ctrl-C the step is finished, a checkpoint written, and training ends; after a second Ctrl-C it
    ends at once.

    asked: whether a signal came, to any of the processes. interrupted: whether Ctrl-C came to this one.
    """

    def __init__(self):
        self.asked = self.interrupted = False

    def listening(self) -> AbstractContextManager[None]:
        """Take the signals within. Where Ctrl-C is ignored, or something else than an interrupt, it stays so."""
        heard = {signal.SIGTERM: self._hear}
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            heard[signal.SIGINT] = self._hear
        return handling(heard)

    def _hear(self, signum, frame):
        if signum == signal.SIGINT:
            if self.interrupted:
                raise KeyboardInterrupt
            self.interrupted = True
            print("stopping after this step, with a checkpoint; interrupt again to stop at once", file=sys.stderr)
        self.asked = True

    def on_step_end(self, args, state, control, **kwargs):
        if args.world_size > 1:  # the signal reaches processes at different steps, and they must stop at the same
            heard = torch.tensor(float(self.asked), device=args.device)
            dist.all_reduce(heard, dist.ReduceOp.MAX)
            self.asked = bool(heard)
        if self.asked:
            control.should_save = control.should_training_stop = True
