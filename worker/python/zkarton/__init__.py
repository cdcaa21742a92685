"""zkarton: analysis pipelines. Submit a task with files; every service whose filters match gets its own copy.

.. code-block:: python

    from zkarton import Karton, Task

    class Hello(Karton):
        identity = "karton.hello"
        filters = [{"type": "sample", "kind": "raw"}]

        def process(self, task):
            self.send_task(Task({"type": "sample", "stage": "recognized"},
                                payload={"sample": task.get_resource("sample")}))

    Hello.main()
"""
from .__version__ import __version__
from ._bus import Summary
from .config import Config
from .exceptions import ZkartonError
from .resource import LocalResource, RemoteResource, Resource, ResourceBase
from .decorators import consumer
from .events import Events
from .service import Consumer, GiveBack, Karton, LogConsumer, Producer
from .task import Task, TaskPriority, TaskState, get_current_task
from .tree import Tree

__all__ = ["Config", "Consumer", "Events", "GiveBack", "Karton", "LocalResource", "LogConsumer", "Producer", "RemoteResource", "Resource",
           "ResourceBase", "Summary", "Task", "TaskPriority", "TaskState", "Tree", "ZkartonError", "__version__",
           "consumer", "get_current_task"]
