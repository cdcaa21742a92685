#!/usr/bin/env python3
"""Applies each deliberate bug of tests/clients/mutants to a copy of the Python client: the scenario that the first line of the
patch names must fail with it, for the plain client and for asyncio. With --unchanged the same scenarios must pass without it.

usage: run_mutants.py [--unchanged] [NAME…]; scenarios run against build/bin.
"""
import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
IS_UNCHANGED = "--unchanged" in sys.argv
if not IS_UNCHANGED:
    os.environ["ZKT_SCENARIO_DEADLINE_S"] = "4"  # most mutants are caught by what does not come
from clients import scenario as stage  # noqa: E402

MUTANTS = os.path.join(ROOT, "tests", "clients", "mutants")
LANGUAGES = ("python", "python_asyncio")
SIDE_BY_SIDE = 8  # they mostly wait


def changed_client(name, folder):
    """A copy of the package with the bug; its folder."""
    patch = os.path.join(MUTANTS, name + ".patch")
    to = os.path.join(folder, name)
    shutil.copytree(os.path.join(ROOT, "worker", "python", "zkarton"), os.path.join(to, "zkarton"),
                    ignore=shutil.ignore_patterns("__pycache__"))
    applied = subprocess.run(["patch", "-p3", "--no-backup-if-mismatch", "-i", patch], cwd=to, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, check=False)
    if applied.returncode != 0:
        sys.exit(f"run_mutants: {name} does not apply any more:\n{applied.stdout}")
    return to


def scenario_of(name):
    with open(os.path.join(MUTANTS, name + ".patch"), encoding="utf-8") as file:
        return file.readline().strip()


def failure(folder, scenario, language):
    """By which step one client fails; None: it does not."""
    about = stage.languages()[language]
    about = dict(about, environment={**about["environment"], "PYTHONPATH": folder})
    try:
        stage.play(about, stage.scenarios()[scenario])
    except stage.Failure as failed:
        return " ".join(str(failed).splitlines()[0].split())[:120]
    return None


def main():
    names = [name for name in sys.argv[1:] if name != "--unchanged"] or sorted(name[:-len(".patch")] for name in os.listdir(MUTANTS))
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="zkt-mutants-") as folder, \
            concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        if IS_UNCHANGED:
            played = [("unchanged", os.path.join(ROOT, "worker", "python"), scenario)
                      for scenario in sorted({scenario_of(name) for name in names})]
        else:
            played = [(name, changed_client(name, folder), scenario_of(name)) for name in names]
        rows = [(name, scenario, language, pool.submit(failure, client, scenario, language))
                for name, client, scenario in played for language in LANGUAGES]
        for name, scenario, language, future in rows:
            step = future.result()
            wrong += (step is None) != IS_UNCHANGED
            print(f"{name}, {language}: {step or f'scenario {scenario!r} passes'}", flush=True)
    return 1 if wrong or not names else 0


if __name__ == "__main__":
    sys.exit(main())
