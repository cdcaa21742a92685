"""The driver of zkarton.asyncio (protocol: ../README.md)."""
import asyncio
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "python"))

from zkarton.asyncio import Karton, Producer  # noqa: E402

import common  # noqa: E402

runs = common.Runs(asyncio.Queue)


class Client(common.Client):
    """Events come in a task."""

    PRODUCER = Producer

    def start_pump(self):
        self.pump = asyncio.create_task(self._pump())

    async def _pump(self):
        async for topic, body in self.events:
            common.say({"event": "published", "topic": topic, "body": body})

    async def end_pump(self):
        await self.events.close()
        await self.pump


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
            await common.answer_in_process(self, task, request)


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
                return await common.run_service(request, lambda: self.make(request))
            try:
                await self.client.do(request)
            except Exception as error:
                common.answer_error(request, error)
        await self.client.close()
        return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(Driver().main()))
