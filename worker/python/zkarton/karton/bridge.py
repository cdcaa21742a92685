"""python -m zkarton.karton.bridge DIRECTION: carries tasks between a Karton and a zkarton while services move.

``to-zkarton`` takes every task of the Karton and sends those on that a consumer of zkarton wants; ``to-karton`` does it
the other way. A consumer that both sides have is served by its own side. Run both directions, each once or more often;
karton.ini has [redis] and [s3] as before, and [zkarton].
"""
from __future__ import annotations

import argparse
import os
import tempfile
import time
from typing import Any, Dict, List, Optional

from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]
from karton.core import query
from karton.core.backend import KartonBackend as RealBackend
from karton.core.base import KartonServiceBase
from karton.core.config import Config
from karton.core.karton import Consumer, Producer
from karton.core.resource import LocalResource, RemoteResource
from karton.core.task import Task
from redis.exceptions import RedisError

from ._backend import KartonBackend

convert: Any = query.convert
IDENTITY = "karton.bridge"
BINDS_FOR_S = 2.0
RETRY_S = 1.0
DIRECTIONS = ("to-zkarton", "to-karton")


class Bridge(Consumer):
    """Carries tasks to the services that have moved, and back from them"""

    filters = [{}]
    version = "1"

    def __init__(self, config: Config, direction: str) -> None:
        real, ours = RealBackend(config, identity=IDENTITY), KartonBackend(config, identity=IDENTITY)
        here, there = (real, ours) if direction == "to-zkarton" else (ours, real)
        super().__init__(config=config, identity=IDENTITY, backend=here)  # type: ignore[arg-type]
        self._there: Any = there
        self._producer = Producer(config=config, identity=IDENTITY, backend=there)  # type: ignore[arg-type]
        self._wanted: List[Any] = []
        self._wanted_until_s = 0.0

    def _is_wanted(self, headers: Dict[str, Any]) -> bool:
        """Whether a consumer that only the other side has takes it."""
        if time.monotonic() > self._wanted_until_s:
            known = {bind.identity for bind in self.backend.get_binds()}
            self._wanted = [convert(bind.filters) for bind in self._there.get_binds() if bind.identity not in known]
            self._wanted_until_s = time.monotonic() + BINDS_FOR_S
        for filters in self._wanted:
            try:
                if filters.match(headers):
                    return True
            except Exception:  # F8: filters that cannot be evaluated take nothing
                self.log.debug("Filters raise an error", exc_info=True)
        return False

    def process(self, task: Task) -> None:
        headers = {name: value for name, value in task.headers.items() if name != "receiver"}
        # What a bridge brought here is not to be carried back.
        if headers.get("origin") == IDENTITY or not self._is_wanted(headers):
            return
        with tempfile.TemporaryDirectory(prefix="karton-bridge-") as directory:
            self._send(task, headers, directory)

    def _send(self, task: Task, headers: Dict[str, Any], directory: str) -> None:
        copies: Dict[str, LocalResource] = {}

        def copy(value: Any) -> Any:
            if not isinstance(value, RemoteResource):
                return value
            if value.uid not in copies:
                path = os.path.join(directory, str(len(copies)))
                value.download_to_file(path)
                metadata = {name: told for name, told in value.metadata.items() if name != "sha256"}
                copies[value.uid] = LocalResource(value.name, path=path, metadata=metadata, _flags=list(value._flags))
            return copies[value.uid]

        carried = Task(headers=headers, payload=task.payload, headers_persistent=task.headers_persistent,
                       payload_persistent=task.payload_persistent, priority=task.priority, root_uid=task.root_uid,
                       parent_uid=task.parent_uid)
        self._again(lambda: carried.transform_payload_bags(copy))
        self.current_task = None  # it is no child of what is in process here, but the same task over there
        try:
            self._again(lambda: self._producer.send_task(carried))
        finally:
            self.current_task = task

    def _again(self, action: Any) -> None:
        """Until Redis and S3 are there; zkarton's broker is waited for anyway."""
        while True:
            try:
                action()
                return
            except (RedisError, BotoCoreError, ConnectionError) as error:
                if self.shutdown:
                    raise
                self.log.warning("%s; trying again", error)
                time.sleep(RETRY_S)


def main(arguments: Optional[List[str]] = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m zkarton.karton.bridge", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("direction", choices=DIRECTIONS)
    parser.add_argument("--config-file", help="Alternative configuration path")
    parser.add_argument("--log-level", help="Logging level of Karton logger")
    options = parser.parse_args(arguments)
    config = Config(path=options.config_file)
    config.load_from_dict({"logging": {"level": options.log_level}})
    service: KartonServiceBase = Bridge(config, options.direction)
    service.loop()


if __name__ == "__main__":
    main()
