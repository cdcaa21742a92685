"""The driver of zkarton, the Python client (protocol: ../README.md)."""
import queue
import sys
import threading
import time

from zkarton import Karton, Producer, ZkartonError
from zkarton.exceptions import AnswerTimeoutError

import common

runs = common.Runs(queue.Queue)


class Client:
    """connect, submit, post, wait, query, follow."""

    def __init__(self):
        self.producer = None
        self.events = None
        self.thread = None

    def do(self, request):
        if self.producer is None and request["do"] != "connect":
            raise ZkartonError("connect first", "USAGE")
        method = getattr(self, "do_" + request["do"], None)
        if method is None:
            raise ZkartonError("no such verb", "USAGE")
        common.answer(request, **(method(request) or {}))

    def do_connect(self, request):
        self.close()
        producer = Producer(common.build_config(request), identity=request["identity"])
        try:
            producer.backend.session.wait_open(request.get("timeout_ms", 5000) / 1000)
        except BaseException:
            producer.close()
            raise
        self.producer = producer

    def do_submit(self, request):
        task = common.build_task(request)
        self.producer.send_task(task)
        return {"uid": task.task_uid, "root_uid": task.root_uid}

    def do_post(self, request):
        for number in range(request["count"]):
            task = common.build_task(request)
            task.add_payload("number", number)
            self.producer.post_task(task)
        self.producer.flush()
        return {"sent": request["count"], "refused": 0}

    def do_wait(self, request):
        summary = self.producer.wait(request["root_uid"], request.get("timeout_ms", 30000) / 1000)
        return {"finished": summary.finished, "crashed": summary.crashed}

    def do_query(self, request):
        rows = self.producer.query(request["what"], **request.get("arguments", {}))
        return {"rows": common.plain(rows)}

    def do_follow(self, request):
        self.events = self.producer.events(*request["topics"])
        self.thread = threading.Thread(target=self._pump)
        self.thread.start()

    def _pump(self):
        while True:
            try:
                topic, body = self.events.next()
            except AnswerTimeoutError:
                return  # stopped
            common.say({"event": "published", "topic": topic, "body": body})

    def close(self):
        if self.thread is not None:
            self.events.stop()
            self.thread.join()
            self.events.close()
            self.thread = None
        if self.producer is not None:
            self.producer.close()
            self.producer = None


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
            try:
                common.answer(request, **(self.do(task, request) or {}))
            except Exception as error:
                common.answer_error(request, error)

    def do(self, task, request):
        verb = request["do"]
        if verb == "send":
            child = common.build_task(request, task)
            self.post_task(child) if request.get("post") else self.send_task(child)
            return {"uid": child.task_uid}
        if verb == "read":
            resource = common.resource_at(task, request["path"])
            return common.about_resource(resource, resource.content)
        if verb == "folder":
            with common.resource_at(task, request["path"]).extract_temporary() as path:
                return common.about_folder(path)
        if verb == "log":
            self.log.log(common.LEVELS[request.get("level", "INFO")], "%s", request["message"])
            return None
        if verb == "spin":
            end_s = time.monotonic() + request["ms"] / 1000
            while time.monotonic() < end_s and not self.is_cancelled:
                pass
            return {"cancelled": self.is_cancelled}
        raise ZkartonError("no such verb", "USAGE")


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
                return common.run_service(request, lambda: self.make(request))
            try:
                self.client.do(request)
            except Exception as error:
                common.answer_error(request, error)
        self.client.close()
        return 0


if __name__ == "__main__":
    sys.exit(Driver().main())
