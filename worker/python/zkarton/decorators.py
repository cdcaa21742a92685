"""Services as functions."""
from __future__ import annotations

import inspect
from typing import Any, Callable, Optional, Type

from .service import Karton


def consumer(identity: str, filters: Any, *, base: Optional[Type[Any]] = None,
             **attributes: Any) -> Callable[[Callable[..., Any]], Type[Any]]:
    """Makes a service of a function.

    .. code-block:: python

        @consumer("karton.upper", [{"type": "text"}], task_timeout=60)
        def upper(karton, task):
            karton.send_task(Task({"type": "upper"}, {"text": task.get_payload("text").upper()}))

        upper.main()

    The function is given the service and the task, or the task alone. Its docstring describes the queue. A coroutine
    function makes a service of ``zkarton.asyncio``. ``attributes`` are those of the class: version, persistent,
    task_timeout, transactional, concurrency, prefetch. A wrong filter raises here, and names the clause.
    """
    def make(function: Callable[..., Any]) -> Type[Any]:
        is_async = inspect.iscoroutinefunction(function)
        takes_service = len(inspect.signature(function).parameters) > 1

        def process(self: Any, task: Any) -> Any:
            return function(self, task) if takes_service else function(task)

        async def process_async(self: Any, task: Any) -> Any:
            return await process(self, task)

        parent = base
        if parent is None:
            parent = Karton
            if is_async:
                from .asyncio import Karton as AsyncKarton
                parent = AsyncKarton
        return type(function.__name__, (parent,), {
            "identity": identity, "filters": filters, "process": process_async if is_async else process, "__doc__": function.__doc__,
            "__module__": function.__module__, "__qualname__": function.__qualname__, "function": staticmethod(function),
            **attributes})
    return make
