"""The driver of zkarton, the Python client (protocol: ../README.md)."""
import queue
import sys
import threading

from zkarton import Karton, Producer
from zkarton.exceptions import AnswerTimeoutError

import common

runs = common.Runs(queue.Queue)


class Client(common.Client):
    """Events come on a thread."""

    PRODUCER = Producer

    def start_pump(self):
        self.thread = threading.Thread(target=self._pump)
        self.thread.start()

    def _pump(self):
        while True:
            try:
                topic, body = self.events.next()
            except AnswerTimeoutError:
                return  # stopped
            common.say({"event": "published", "topic": topic, "body": body})

    async def end_pump(self):
        self.events.stop()
        self.thread.join()
        self.events.close()


class Driven(Karton):
    """Does in process what the scenario says."""

    def process(self, task):
        number, requests = runs.open(task)
        try:
            self.obey(task, number, requests)
        except BaseException as error:
            if not isinstance(error, Exception) and not isinstance(error, common.GiveBack):
                common.say({"event": "cancelled", "delivery": number})  # a timeout, a hard stop
            raise
        finally:
            requests = runs.close(number)
            while not requests.empty():
                runs.take({**requests.get(), "delivery": number}, None)

    def obey(self, task, number, requests):
        was_cancelled = False
        while True:
            if self.is_cancelled and not was_cancelled:
                was_cancelled = True
                common.say({"event": "cancelled", "delivery": number})
            try:
                request = requests.get(timeout=0.02)
            except queue.Empty:
                continue
            if request["do"] in runs.ENDS:
                common.end_of(request)
                return
            common.now(common.answer_in_process(self, task, request))


class Driver:
    def __init__(self):
        self.requests = queue.Queue()
        self.service = None
        self.client = Client()

    def take(self, request):
        """On the thread that reads."""
        if request is not None and "delivery" in request:
            runs.take(request, lambda requests, item: requests.put(item))
        elif request is not None and request["do"] == "stop":
            common.answer(request)
            self.service.stop()
        else:
            self.requests.put(request)

    def make(self, request):
        self.service = common.service_class(Driven, request, concurrency=request.get("concurrency", 1))(
            common.build_config(request))
        return self.service

    def main(self):
        threading.Thread(target=common.read_requests, args=(self.take,), daemon=True).start()
        common.say_ready("python")
        while (request := self.requests.get()) is not None:
            if request["do"] == "serve":
                return common.now(common.run_service(request, lambda: self.make(request)))
            try:
                common.now(self.client.do(request))
            except Exception as error:
                common.answer_error(request, error)
        common.now(self.client.close())
        return 0


if __name__ == "__main__":
    sys.exit(Driver().main())
