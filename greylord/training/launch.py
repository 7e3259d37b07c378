"""Training in one process, or in several by accelerate's launcher: one for each GPU."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

import psutil
import torch

from greylord.signals import ending_signals

__all__ = ["launch", "processes_to_launch"]


def processes_to_launch(asked: int | None, cpu: bool) -> int:
    """How many processes this one has to start; 0 where it trains itself, as one that a launcher has started does.

    Args:
        asked: as many are wanted; None for as many as there are GPUs.
        cpu: whether no GPU is to be used.
    """
    if "LOCAL_RANK" in os.environ:
        return 0
    count = asked or (1 if cpu else torch.cuda.device_count())
    return count if count > 1 else 0


def launch(arguments: Sequence[str], processes: int) -> int:
    """Run `greylord ARGUMENTS` in several processes on this machine. Returns the exit code.

    What ends a run, as Ctrl-C does, is passed on to them: they agree on the step at which they stop.
    """
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1"]
    command += ["--num_processes", str(processes), "--main_process_port", "0"]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no", "--module", "greylord", *arguments]
    # As many threads for all as one process would have.
    threads = str(max(1, torch.get_num_threads() // processes))
    # In a group of its own: the launcher, if a signal reached it, would not let its processes finish.
    child = subprocess.Popen(
        command, env={"OMP_NUM_THREADS": threads, **os.environ}, start_new_session=sys.platform != "win32"
    )

    def pass_on(number: int, frame: FrameType | None) -> None:
        for process in psutil.Process(child.pid).children(recursive=True):
            process.send_signal(number)

    signals = ending_signals()
    before = [signal.signal(number, pass_on) for number in signals]
    try:
        return child.wait()
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
