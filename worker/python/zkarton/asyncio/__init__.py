"""Services and producers for asyncio: the same names, ``async def process``, ``await send_task`` (P15).

.. code-block:: python

    from zkarton.asyncio import Karton, Task

    class Fetch(Karton):
        identity = "karton.fetch"
        filters = [{"type": "url"}]
        concurrency_limit = 50

        async def process(self, task):
            body = await fetch(task.get_payload("url"))
            await self.send_task(Task({"type": "page"}, {"body": body}))

    Fetch.main()
"""
from ..config import Config
from ..resource import LocalResource, Resource
from ..task import Task, TaskPriority, TaskState
from .events import Events
from .resource import RemoteResource
from .service import Consumer, Karton, Producer

__all__ = ["Config", "Consumer", "Events", "Karton", "LocalResource", "Producer", "RemoteResource", "Resource", "Task",
           "TaskPriority", "TaskState"]
