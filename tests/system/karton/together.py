"""An asyncio Karton service of the tests: its tasks wait for each other, so they must run at the same time."""
import asyncio

from karton.core.asyncio import Karton
from karton.core.asyncio.resource import Resource
from karton.core.task import Task

TOGETHER = 3


class Together(Karton):
    identity = "test.together"
    filters = [{"type": "together"}]
    concurrency_limit = TOGETHER

    async def process(self, task: Task) -> None:
        self.waiting = getattr(self, "waiting", 0) + 1
        self.all_here = getattr(self, "all_here", None) or asyncio.Event()
        if self.waiting == TOGETHER:
            self.all_here.set()
        await self.all_here.wait()
        content = (await task.get_resource("sample").download()).decode()
        if content == "crash":
            raise ValueError("as asked")
        await self.send_task(Task({"type": "child"}, payload={"sample": Resource("out", content.upper().encode())}))


if __name__ == "__main__":
    Together.main()
