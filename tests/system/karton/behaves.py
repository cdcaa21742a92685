"""A Karton service of the tests that does what the header "do" says. $SELF is its name; $GATE a FIFO that `wait` waits for."""
import multiprocessing
import os
import select
import sys
import tempfile

from karton.core import Karton, Resource, Task
from karton.core.task import TaskPriority

NAME = os.environ.get("SELF", "behaves")


def send_in_child(service, task):
    try:
        service.send_task(task)
    except Exception as error:
        os.write(1, f"{type(error).__name__}: {error}\n".encode())


class Behaves(Karton):
    """Does as it is told"""

    identity = "test." + NAME
    filters = [{"type": "behave", "to": NAME, "rule": {"$ne": os.environ.get("RULE", "")}}]
    version = os.environ.get("VERSION", "1")

    def process(self, task: Task) -> None:
        getattr(self, "do_" + task.headers["do"])(task)

    def gate(self):
        gate = os.open(os.environ["GATE"], os.O_RDONLY | os.O_NONBLOCK)
        self.log.info("at the gate")
        while not select.select([gate], [], [], 0.1)[0]:
            pass  # a signal that came just before select is seen at its end
        os.close(gate)

    def do_nothing(self, task):
        pass

    def do_exit(self, task):
        sys.exit(3)

    def do_wait(self, task):
        self.gate()

    def do_swallow(self, task):
        try:
            self.gate()
        except Exception:
            pass

    def do_half(self, task):
        self.send_task(Task({"type": "child"}, priority=TaskPriority.LOW, payload={"n": 1}))
        raise ValueError("after the child")

    def do_files(self, task):
        text = Resource("text", content="zażółć")
        with tempfile.TemporaryDirectory() as directory:
            with open(os.path.join(directory, "inside.txt"), "w", encoding="ascii") as file:
                file.write("inside")
            packed = Resource.from_directory("packed", directory_path=directory)
            twice = Task({"type": "child", "number": 1}, payload={"text": text, "packed": packed, "again": [text, {"deep": text}]})
            self.send_task(twice)
        self.send_task(Task({"type": "child", "number": 2}, payload={"text": text}))  # the same once more
        self.send_task(Task({"type": "child", "number": 3}, payload={"text": Resource("own", b"x", bucket="elsewhere"),
                                                                      "told": Resource("told", b"y", sha256="0" * 64)}))

    def do_read(self, task):
        with task.get_resource("packed").extract_temporary() as directory, \
                open(os.path.join(directory, "inside.txt"), encoding="ascii") as file:
            self.log.info("inside: %s", file.read())
        with task.get_resource("packed").zip_file() as archive:
            self.log.info("names: %s", archive.namelist())
        task.get_resource("packed").remove()

    def do_log(self, task):
        self.log.warning("careful", extra={"detail": {"a": 1}, "odd": object()})
        raise KeyError("lost")

    def do_fork(self, task):
        context = multiprocessing.get_context("fork")
        for child in (Task({"type": "forked"}, parent_uid=task.uid, root_uid=task.root_uid), Task({"type": "forked"})):
            if child.parent_uid is None:
                self.current_task = None  # an analysis of its own
            process = context.Process(target=send_in_child, args=(self, child))
            process.start()
            process.join()
        self.current_task = task


if __name__ == "__main__":
    Behaves.main()
