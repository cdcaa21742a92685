"""The driver of zkarton.asyncio (protocol: ../README.md)."""
import asyncio
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "python"))

from zkarton import ZkartonError  # noqa: E402
from zkarton.asyncio import Karton, Producer  # noqa: E402

import common  # noqa: E402

runs = common.Runs(asyncio.Queue)


class Client:
    """connect, submit, post, wait, query, follow."""

    def __init__(self):
        self.producer = None
        self.events = None
        self.pump = None

    async def do(self, request):
        if self.producer is None and request["do"] != "connect":
            raise ZkartonError("connect first", "USAGE")
        method = getattr(self, "do_" + request["do"], None)
        if method is None:
            raise ZkartonError("no such verb", "USAGE")
        common.answer(request, **(await method(request) or {}))

    async def do_connect(self, request):
        await self.close()
        config = common.build_config(request)
        config.set("karton", "connect_timeout", request.get("timeout_ms", 5000) / 1000)
        producer = Producer(config, identity=request["identity"])
        try:
            await producer.connect()
        except BaseException:
            await producer.close()
            raise
        self.producer = producer

    async def do_submit(self, request):
        task = common.build_task(request)
        await self.producer.send_task(task)
        return {"uid": task.task_uid, "root_uid": task.root_uid}

    async def do_post(self, request):
        for number in range(request["count"]):
            task = common.build_task(request)
            task.add_payload("number", number)
            await self.producer.post_task(task)
        await self.producer.flush()
        return {"sent": request["count"], "refused": 0}

    async def do_wait(self, request):
        summary = await self.producer.wait(request["root_uid"], request.get("timeout_ms", 30000) / 1000)
        return {"finished": summary.finished, "crashed": summary.crashed}

    async def do_query(self, request):
        rows = await self.producer.query(request["what"], **request.get("arguments", {}))
        return {"rows": common.plain(rows)}

    async def do_follow(self, request):
        self.events = await self.producer.events(*request["topics"])
        self.pump = asyncio.create_task(self._pump())

    async def _pump(self):
        async for topic, body in self.events:
            common.say({"event": "published", "topic": topic, "body": body})

    async def close(self):
        if self.pump is not None:
            await self.events.close()
            await self.pump
            self.pump = None
        if self.producer is not None:
            producer, self.producer = self.producer, None
            async with producer:
                pass


class Driven(Karton):
    """Does in process what the scenario says."""

    async def process(self, task):
        number, requests = runs.open(task)
        try:
            await self.obey(task, requests)
        except BaseException as error:
            if not isinstance(error, Exception) and not isinstance(error, common.GiveBack):
                common.say({"event": "cancelled", "delivery": number})  # a timeout, a lost lease, a hard stop
            raise
        finally:
            requests = runs.close(number)
            while not requests.empty():
                runs.take({**requests.get_nowait(), "delivery": number}, None)

    async def obey(self, task, requests):
        while True:
            request = await requests.get()
            if request["do"] in runs.ENDS:
                common.end_of(request)
                return
            try:
                common.answer(request, **(await self.do(task, request) or {}))
            except Exception as error:
                common.answer_error(request, error)

    async def do(self, task, request):
        verb = request["do"]
        if verb == "send":
            child = common.build_task(request, task)
            await (self.post_task(child) if request.get("post") else self.send_task(child))
            return {"uid": child.task_uid}
        if verb == "read":
            resource = common.resource_at(task, request["path"])
            return common.about_resource(resource, await resource.download())
        if verb == "folder":
            async with common.resource_at(task, request["path"]).extract_temporary() as path:
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
        self.service = None
        self.client = Client()
        self.loop = None
        self.requests = None

    def take(self, request):
        """On the thread that reads."""
        self.loop.call_soon_threadsafe(self.take_here, request)

    def take_here(self, request):
        if request is not None and "delivery" in request:
            runs.take(request, lambda requests, item: requests.put_nowait(item))
        elif request is not None and request["do"] == "stop":
            common.answer(request)
            self.service.stop()
        else:
            self.requests.put_nowait(request)

    def make(self, request):
        self.service = common.service_class(Driven, request, concurrency_limit=request.get("concurrency", 1))(
            common.build_config(request))
        return self.service

    async def main(self):
        self.loop = asyncio.get_running_loop()
        self.requests = asyncio.Queue()
        threading.Thread(target=common.read_requests, args=(self.take,), daemon=True).start()
        common.say_ready("python-asyncio")
        while (request := await self.requests.get()) is not None:
            if request["do"] == "serve":
                return await common.run_service_async(request, lambda: self.make(request))
            try:
                await self.client.do(request)
            except Exception as error:
                common.answer_error(request, error)
        await self.client.close()
        return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(Driver().main()))
