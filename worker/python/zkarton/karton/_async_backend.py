"""The look-alike of karton.core.asyncio.backend.KartonAsyncBackend.

What may take time runs on a thread, on the look-alike of the plain backend. Deliveries do not wait on a thread: a
service that is cancelled while it waits must not leave somebody behind who takes a task.
"""
from __future__ import annotations

import asyncio
import functools
from queue import Empty
from typing import IO, Any, Callable, Dict, Optional, TypeVar, Union

from karton.core.asyncio.resource import RemoteResource
from karton.core.backend import KartonBackendBase, KartonBind, KartonMetrics, KartonServiceInfo
from karton.core.config import Config
from karton.core.task import Task, TaskState

from .._session import Session
from .._threads import on_a_thread
from ._backend import TAKE_MOST_S, KartonBackend
from ._errors import NotServedError

T = TypeVar("T")


class _Backend(KartonBackend):
    """The plain one below an asyncio service."""

    def __init__(self, config: Config, identity: Optional[str], service_info: Optional[KartonServiceInfo],
                 make_resource: Callable[[Dict[str, Any]], Any]) -> None:
        super().__init__(config, identity, service_info)
        self.make_resource = make_resource
        self.on_delivery: Optional[Callable[[], None]] = None

    def unserialize_resource(self, resource_spec: Dict[str, Any]) -> Any:
        return self.make_resource(resource_spec)

    def register_bind(self, bind: KartonBind) -> Optional[KartonBind]:
        old = self._find_bind(bind.identity)
        # The service has its own limit; the window follows it, task by task.
        options = dict(self._worker_options(bind), window=1)
        self.sessions.open_worker(identity=bind.identity, options=options, on_delivery=self.on_delivery)
        self._bind = bind
        return old


class KartonAsyncBackend(KartonBackendBase):
    """Speaks to zkarton's broker. Made by karton-core's asyncio classes, as theirs is."""

    def __init__(self, config: Config, identity: Optional[str] = None,
                 service_info: Optional[KartonServiceInfo] = None) -> None:
        super().__init__(config, identity, service_info)
        self._plain = _Backend(config, identity, service_info, self.unserialize_resource)
        self._there: Optional[asyncio.Event] = None  # something may be there to be taken

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        # The plain one has it, or says what to use instead.
        method = getattr(self._plain, name)
        if not callable(method):
            raise NotServedError(f"backend.{name}", "the look-alike of karton-core 5.9.1 does not have it")
        return functools.partial(on_a_thread, method)

    async def connect(self) -> None:
        """Binds the backend to the running loop; sessions are opened when they are needed."""
        loop = asyncio.get_running_loop()
        there = asyncio.Event()

        def wake() -> None:  # on the session's thread
            if not loop.is_closed():
                loop.call_soon_threadsafe(there.set)

        self._there = there
        self._plain.on_delivery = wake

    @property
    def default_bucket_name(self) -> str:
        return self._plain.default_bucket_name

    @property
    def redis(self) -> Any:
        return self._plain.redis

    @property
    def s3(self) -> Any:
        return self._plain.s3

    def unserialize_resource(self, resource_spec: Dict[str, Any]) -> RemoteResource:
        self._plain.objects.learn(resource_spec)
        return RemoteResource.from_dict(resource_spec, backend=self)  # type: ignore[arg-type]

    async def get_bind(self, identity: str) -> KartonBind:
        return await asyncio.to_thread(self._plain.get_bind, identity)

    async def register_bind(self, bind: KartonBind) -> Optional[KartonBind]:
        if self._there is None:
            await self.connect()
        return await asyncio.to_thread(self._plain.register_bind, bind)

    async def consume_routed_task(self, identity: str, timeout: int = 5) -> Optional[Task]:
        worker = self._plain.sessions.worker
        if worker is None or self._there is None:
            raise NotServedError("taking tasks of a queue that was not registered here", "call register_bind first")
        delivery = None
        try:
            self._there.clear()
            if worker.reports.work.empty():
                _widen(worker)
                await asyncio.wait_for(self._there.wait(), min(timeout or TAKE_MOST_S, TAKE_MOST_S))
            delivery = worker.take(0)
        except (asyncio.TimeoutError, Empty):
            pass
        if delivery is None:
            if worker.is_over and worker.problem is not None:
                raise worker.problem
            return None
        return self._plain.begin(delivery, worker)

    async def set_task_status(self, task: Task, status: TaskState, pipe: Any = None) -> None:
        self._plain.set_task_status(task, status)  # hands on, does not wait

    async def produce_log(self, log_record: Dict[str, Any], logger_name: str, level: str) -> bool:
        return self._plain.produce_log(log_record, logger_name, level)

    async def increment_metrics(self, metric: KartonMetrics, identity: str, pipe: Any = None) -> None:
        """Nothing to do: the broker counts."""

    async def upload_object(self, bucket: str, object_uid: str, content: Union[bytes, IO[bytes]]) -> None:
        await on_a_thread(self._plain.upload_object, bucket, object_uid, content)


def _widen(worker: Session) -> None:
    """Room for one task more than the service works on."""
    def widen(_: None) -> None:
        reports = worker.reports
        window = reports.in_process + 1
        if window > worker.options.window:
            worker.options.window = window
        reports.tell_window(max(window, 1))

    worker._put(widen, None)
