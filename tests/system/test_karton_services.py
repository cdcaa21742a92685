"""Unmodified Karton services from PyPI, the same files through them on real Karton and on zkarton: equal analyses.

Parity S1, S4-S11, S20, S21, A1-A4, B1, B2, B4, C1, C3, F1, P4, T1-T4, T6.
"""
import copy
import json
import os
import shutil
import unittest

from support.karton import PROGRAMS, RealKarton, Zkarton, corpus, count, outline

# (unrouted, routed tasks) of the cases that say most: what a comparison of two empty trees would not show.
SIZES = {"elf": (2, 1), "autoit": (7, 6), "tar": (42, 42), "nested": (20, 19), "encrypted": (4, 4),
         "encrypted, password given": (4, 4), "encrypted, password unknown": (2, 2), "mail": (10, 9), "base64": (3, 3),
         "name that no encoding has": (1, 1), "nobody takes it": (1, 0), "empty": (2, 1)}


class SameTrees(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        directory = corpus()
        cls.addClassCleanup(shutil.rmtree, directory)
        cls.karton, cls.karton_state = cls.analyse(RealKarton, directory)
        cls.zkarton, cls.zkarton_state = cls.analyse(Zkarton, directory)

    @staticmethod
    def analyse(side_class, directory):
        with side_class() as side:
            side.start_services()
            roots = json.loads(side.run(os.path.join(PROGRAMS, "submit.py"), os.path.join(directory, "manifest.json")))
            return side.trees(roots), json.loads(side.run(os.path.join(PROGRAMS, "state.py")))

    def test_karton_made_of_the_files_what_they_are_for(self):
        self.assertGreaterEqual(len(self.karton), 12)
        self.assertEqual({case: count(self.karton[case]) for case in SIZES}, SIZES)
        crashed = self.karton["name that no encoding has"]["routed"][0]
        self.assertEqual(crashed["state"], "Crashed")
        self.assertIn("UnicodeEncodeError", crashed["error"][-1])

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


if __name__ == "__main__":
    unittest.main()
