"""mixed_worker.py IDENTITY JOURNAL: joins a consumer; one line "run UID ATTEMPT" a task, written through."""
import os
import sys

from zkarton import Karton
from zkarton._context import current_process

JOURNAL = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


class Mixed(Karton):
    """Joins."""

    identity = sys.argv[1]
    join = True

    def process(self, task):
        os.write(JOURNAL, f"run {task.task_uid} {current_process().delivery.attempt}\n".encode())


Mixed().loop()
