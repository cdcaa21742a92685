"""Every public name of karton-core is here under `zkarton`, or says what to use instead (`import karton.core` renamed)."""
import importlib
import inspect
import os
import sys
import unittest

from support import python_client
from support.processes import Process

import zkarton  # noqa: F401
from zkarton import _absent

MODULES = ["", ".task", ".resource", ".base", ".config", ".exceptions", ".test", ".query", ".backend", ".inspect", ".logger",
           ".karton", ".utils", ".main", ".asyncio", ".asyncio.resource", ".asyncio.karton", ".asyncio.backend", ".asyncio.base",
           ".asyncio.logger"]
INTERNAL = ("is_non_string_sequence", "toregex")  # of its filters
COMMON = """
from zkarton.karton import Consumer, Karton, Producer, LogConsumer
from zkarton.base import KartonBase, KartonServiceBase
from zkarton.logger import KartonLogHandler
from zkarton.utils import chunks, chunks_iter, recursive_iter, recursive_iter_with_keys, recursive_map, timeout
from zkarton.asyncio.karton import Consumer, Karton, Producer
from zkarton.asyncio.base import KartonAsyncBase
from zkarton.asyncio.logger import KartonAsyncLogHandler
from zkarton.asyncio.resource import LocalResource, RemoteResource, Resource, ResourceBase
"""


class NamesTest(unittest.TestCase):
    def test_common_imports(self):
        # Each in a program of its own: what one module imports may hide what another lacks.
        programs = [Process([sys.executable, "-c", line], env=python_client.environment())
                    for line in COMMON.strip().splitlines()]
        self.assertEqual([program.wait(60) for program in programs], [0] * len(programs))

    def test_each_name_is_there_or_says_what_is(self):
        count = 0
        for suffix in MODULES:
            theirs = importlib.import_module("karton.core" + suffix)
            ours = importlib.import_module("zkarton" + suffix)
            for name, value in vars(theirs).items():
                if name.startswith("_") or name in INTERNAL or getattr(value, "__module__", "") != theirs.__name__:
                    continue
                count += 1
                if inspect.isclass(value) or inspect.isfunction(value):
                    with self.subTest(f"{ours.__name__}.{name}"):
                        try:
                            self.assertIsNotNone(getattr(ours, name))
                        except ImportError as error:
                            self.assertRegex(str(error), rf"^zkarton.* has no {name}: use .+ \(docs/from-karton.md\)$")
        self.assertGreater(count, 50)

    def test_the_document_names_what_is_absent(self):
        with open(os.path.join(python_client.SOURCE, "docs", "from-karton.md"), encoding="utf-8") as file:
            text = file.read()
        for module, names in _absent.INSTEAD.items():
            for name in names:
                if module != "zkarton.main":
                    self.assertTrue(name in text, name)

    def test_helpers(self):
        from zkarton import utils
        self.assertEqual(list(utils.chunks([1, 2, 3], 2)), [[1, 2], [3]])
        self.assertEqual(list(utils.chunks_iter(iter([1, 2, 3]), 2)), [[1, 2], [3]])
        nested = {"a": [1, {"b": 2}], "c": (3,)}
        self.assertEqual(list(utils.recursive_iter(nested)), [1, 2, 3])
        self.assertEqual(list(utils.recursive_iter_with_keys(nested, "x")), [("x.a.0", 1), ("x.a.1.b", 2), ("x.c.0", 3)])
        self.assertEqual(utils.recursive_map(lambda value: value + 1 if isinstance(value, int) else value, nested),
                         {"a": [2, {"b": 3}], "c": [4]})


if __name__ == "__main__":
    unittest.main()
