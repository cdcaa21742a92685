"""Processes that tests start: they end with the test runner, also with one that is killed."""
import ctypes
import os
import signal
import subprocess

PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None).prctl  # found here: what was just forked off a process with threads does little


class Process(subprocess.Popen):
    """A Popen that the kernel kills when the thread that started it ends, however that comes about."""

    def __init__(self, args, **options):
        parent = os.getpid()

        def end_with_parent():
            _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # it ended before it was asked
                os.kill(os.getpid(), signal.SIGKILL)

        super().__init__(args, preexec_fn=end_with_parent, **options)
