"""Services that are written for karton-core, unedited, on zkarton.

``python -m zkarton.karton SERVICE [arguments]`` (or ``zkarton-karton``) starts an installed service with a backend that
speaks to zkarton's broker instead of Redis and S3. In a program of one's own, ``install()`` does the same::

    import zkarton.karton
    zkarton.karton.install()

    from karton.core import Karton, Task

karton-core is a dependency of this package only: ``pip install zkarton[karton]``. What is served and what is not stands
in docs/from-karton.md.
"""
from __future__ import annotations

from ..config import Config
from ..resource import LocalResource
from ..service import Consumer, Karton, LogConsumer, Producer
from ..task import Task, TaskState
from ._errors import NotServedError
from ._install import install

#: The classes are zkarton's own, where ``karton.core.karton`` has its.
__all__ = ["Config", "Consumer", "Karton", "LocalResource", "LogConsumer", "NotServedError", "Producer", "Task", "TaskState",
           "install"]
