"""Unmodified Karton services from PyPI, the same files through them on real Karton and on zkarton: equal analyses.

Parity S1, S4-S11, S20, S21, A1-A4, B1, B2, B4, C1, C3, F1, P4, T1-T4, T6.
"""
import copy
import json
import os
import re
import shutil
import time
import unittest

from support.broker import SOURCE
from support.karton import (DEADLINE_S, PACKAGE, PROGRAMS, SERVICES, RealKarton, Zkarton, corpus, count, outline, services_bin,
                            without_uids)

# (unrouted, routed tasks) of the cases that say most: what a comparison of two empty trees would not show.
SIZES = {"elf": (2, 1), "autoit": (7, 6), "tar": (42, 42), "nested": (20, 19), "encrypted": (4, 4),
         "encrypted, password given": (4, 4), "encrypted, password unknown": (2, 2), "mail": (10, 9), "base64": (3, 3),
         "name that no encoding has": (1, 1), "nobody takes it": (1, 0), "empty": (2, 1)}


def setUpModule():
    """The files, and what real Karton makes of them: once for all comparisons."""
    Corpus.directory = corpus()
    unittest.addModuleCleanup(shutil.rmtree, Corpus.directory)
    Corpus.trees, Corpus.state = analyse(RealKarton)


class Corpus:
    directory = trees = state = None


def send_corpus(side):
    """{case: root uid}."""
    return json.loads(side.run(os.path.join(PROGRAMS, "submit.py"), os.path.join(Corpus.directory, "manifest.json")))


def analyse(side_class):
    with side_class() as side:
        side.start_services()
        return side.trees(send_corpus(side)), json.loads(side.run(os.path.join(PROGRAMS, "state.py")))


class SameTrees(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.karton, cls.karton_state = Corpus.trees, Corpus.state
        cls.zkarton, cls.zkarton_state = analyse(Zkarton)

    def test_karton_made_of_the_files_what_they_are_for(self):
        self.assertGreaterEqual(len(self.karton), 12)
        self.assertEqual({case: count(self.karton[case]) for case in SIZES}, SIZES)
        crashed = self.karton["name that no encoding has"]["routed"][0]
        self.assertEqual(crashed["state"], "Crashed")
        self.assertIn("UnicodeEncodeError", crashed["error"][-1])

    def test_document_lists_what_is_compared(self):
        with open(os.path.join(SOURCE, "docs", "from-karton.md"), encoding="utf-8") as file:
            rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| (\d+), (\d+) \|$", file.read(), re.M)
        self.assertEqual({case: (int(sent), int(routed)) for case, sent, routed in rows},
                         {case: count(tree) for case, tree in self.karton.items()})

    def test_trees_are_equal(self):
        self.assertEqual(self.karton.keys(), self.zkarton.keys())
        for case, tree in self.karton.items():
            with self.subTest(case):
                self.assertEqual(outline(tree), outline(self.zkarton[case]))
                self.assertEqual(tree, self.zkarton[case])

    def test_inspection_says_the_same(self):
        """I1, I3: karton-core's KartonState and counters, through both backends."""
        for part in ("queues", "analyses", "metrics"):
            with self.subTest(part):
                self.assertEqual(self.karton_state[part], self.zkarton_state[part])
        self.assertEqual(len(self.karton_state["queues"]["karton.classifier"]["crashed"]), 1)

    def test_the_comparison_sees_each_difference(self):
        tree = self.karton["nested"]
        for change in (lambda fork: fork.update(state="Crashed"), lambda fork: fork.update(priority="low"),
                       lambda fork: fork["children"][0]["headers"].update(kind="other"),
                       lambda fork: fork["children"][0]["payload"]["sample"].update(object="new"),
                       lambda fork: fork["children"][0]["payload_persistent"].clear(), lambda fork: fork["children"].pop()):
            other = copy.deepcopy(tree)
            change(other["routed"][0])
            self.assertNotEqual(tree, other)


class Moving(unittest.TestCase):
    """Half of the services here and half there, with the bridge between: every task once, as if on one system."""

    maxDiff = None
    MOVED = ("karton-archive-extractor", "karton-asciimagic")

    def test_services_on_both_sides(self):
        karton, zkarton = self.enterContext(RealKarton()), self.enterContext(Zkarton())
        karton.start_services([service for service in SERVICES if service not in self.MOVED])
        zkarton.start_services(self.MOVED)
        for direction in ("to-zkarton", "to-karton"):
            bridge = karton.spawn_command(
                [services_bin("python"), "-m", "zkarton.karton.bridge", direction], PYTHONPATH=PACKAGE,
                KARTON_ZKARTON_ADDRESS=zkarton.broker.endpoints["broker"])
            karton.wait_for(bridge, "Binding on:")
        roots = send_corpus(karton)
        expected = {case: sorted(self.flat(tree)) for case, tree in Corpus.trees.items()}
        wanted_count = sum(len(tasks) for tasks in expected.values())
        found = self.seen(karton, zkarton)
        deadline = time.monotonic() + DEADLINE_S
        while len(found) < wanted_count and time.monotonic() < deadline:
            time.sleep(0.1)  # a file tells nobody that it has grown
            found = self.seen(karton, zkarton)
        zkarton.wait_until_idle()
        karton.wait_until_done(roots)
        cases = {root: case for case, root in roots.items()}
        by_case = {case: [] for case in roots}
        for document, contents in self.seen(karton, zkarton):
            by_case[cases[document["root_uid"]]].append(self.text(document, contents))
        self.assertEqual({case: len(tasks) for case, tasks in by_case.items()},
                         {case: len(tasks) for case, tasks in expected.items()})
        for case, tasks in by_case.items():
            with self.subTest(case):
                self.assertEqual(sorted(tasks), expected[case])
        self.assertGreater(len(zkarton.recorded()), 50)

    @staticmethod
    def seen(*sides):
        """What the recorders of both sides were given, without the copies that the bridge made."""
        for side in sides:
            side.drain()
        return [entry for side in sides if os.path.exists(side.record) for entry in side.recorded().values()
                if entry[0]["headers"]["origin"] != "karton.bridge"]

    def text(self, document, contents):
        bags = {bag: without_uids(document[bag], contents, {}) for bag in ("payload", "payload_persistent")}
        headers = {name: value for name, value in document["headers"].items() if name != "receiver"}
        return json.dumps([headers, document["headers_persistent"], bags, document["priority"]], sort_keys=True)

    def flat(self, node):
        """The tasks of a tree, as `text` has them."""
        def forget(value):
            if isinstance(value, dict):
                return {key: "new" if key == "object" and "content" in value else forget(inner) for key, inner in value.items()}
            return [forget(inner) for inner in value] if isinstance(value, list) else value

        bags = {bag: forget(node[bag]) for bag in ("payload", "payload_persistent")}
        yield json.dumps([node["headers"], node["headers_persistent"], bags, node["priority"]], sort_keys=True)
        for fork in node["routed"]:
            for child in fork["children"]:
                yield from self.flat(child)


if __name__ == "__main__":
    unittest.main()
