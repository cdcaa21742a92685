"""Processes that tests start: they end with the test runner, also with one that is killed."""
import ctypes
import os
import signal
import subprocess

PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None).prctl  # found here: what was just forked off a process with threads does little


def end_with(parent):
    """The kernel kills this process when the thread that started it ends; at once if that is over already."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


class Process(subprocess.Popen):
    """A Popen that ends with the thread that started it, however that comes about."""

    def __init__(self, args, **options):
        parent = os.getpid()
        super().__init__(args, preexec_fn=lambda: end_with(parent), **options)
