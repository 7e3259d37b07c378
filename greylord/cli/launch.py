"""The launcher: training in several processes, one for each GPU."""

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


def processes_to_launch(processes: int | None, cpu: bool) -> int:
    """Return the number of processes to launch; 0 if this process trains itself.

    Args:
        processes: The number to train in; None for one for each GPU.
        cpu: Use no GPU.
    """
    # A launcher has started this process.
    if "LOCAL_RANK" in os.environ:
        return 0
    count = processes or (1 if cpu else torch.cuda.device_count())
    return count if count > 1 else 0


def launch(arguments: Sequence[str], processes: int) -> int:
    """Run greylord in several processes on this machine, and return the exit code.

    Signals that end a run are passed on to the processes, and they agree on the step at which they stop.
    """
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1"]
    command += ["--num_processes", str(processes), "--main_process_port", "0"]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no", "--module", "greylord", *arguments]
    # Together they use as many threads as one process would.
    threads = str(max(1, torch.get_num_threads() // processes))
    # The child gets a process group of its own: if a signal reached the launcher, its processes could not finish.
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
