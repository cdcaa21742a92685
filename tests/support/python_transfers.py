"""Transfers of the Python client in tests: a producer here, a service as a program of its own."""
import threading

from support.broker import until
from support.python_client import Program
from support.transfers import Transfers

from zkarton import Producer, Task
from zkarton.test import ConfigMock


class PythonTransfers(Transfers):
    READER = ""  # a service that takes {"type": "read"}

    def setUp(self):
        super().setUp()
        self.config = ConfigMock({"broker": {"address": self.broker.endpoints["broker"]}})
        self.producer = Producer(self.config, identity="tester")
        self.addCleanup(self.producer.close)

    def reader(self, source=None):
        program = Program(self.broker, source or self.READER)
        self.addCleanup(program.__exit__)
        return program.registered()

    def send_on_a_thread(self, resource):
        """Returns what waits until the task is sent, and gives it."""
        task = Task({"type": "read"}, {"r": resource})
        raised = []

        def send():
            try:
                self.producer.send_task(task)
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=send)
        thread.start()

        def sent():
            thread.join(60)
            self.assertFalse(thread.is_alive())
            self.assertEqual(raised, [])
            return task

        return sent

    def cut_while_sending(self, resource, direction, count):
        """The same, once so many bytes have passed and nothing more can."""
        self.proxy.cut(direction, count, then_refuse=True)
        sent = self.send_on_a_thread(resource)
        until("it is cut", lambda: self.proxy.cut_count == 1)
        return sent

    def done(self, task, finished=1, crashed=0):
        summary = self.producer.wait(task.root_uid, 60)
        self.assertEqual((summary.finished, summary.crashed), (finished, crashed))
