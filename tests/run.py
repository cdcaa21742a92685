#!/usr/bin/env python3
"""Runs every test of the tree and ends with one line: N passed, N failed.

A suite is a function that yields (name, passed, detail). `run.py [--soak] [SUITE…]`; `run.py --list` names them.
"""
import argparse
import concurrent.futures
import concurrent.futures.process
import multiprocessing
import os
import re
import subprocess
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build")
sys.path.insert(0, os.path.join(ROOT, "tests"))
from support.processes import end_with  # noqa: E402

SOAK = False
TIMEOUT_S = 1200
LANES = 2  # of system tests side by side: they mostly wait
TSAN_OPTIONS = ("halt_on_error=1:second_deadlock_stack=1:suppressions="
                + os.path.join(ROOT, "tests", "support", "tsan.supp"))


def command(args, timeout=TIMEOUT_S, env=None):
    """Runs to the end; (returncode, output)."""
    merged = dict(os.environ, **(env or {}))
    try:
        done = subprocess.run(args, cwd=ROOT, env=merged, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as expired:
        return 124, (expired.stdout or b"").decode(errors="replace") + f"\nstopped after {timeout} s"
    return done.returncode, done.stdout.decode(errors="replace")


def single(name, args, timeout=TIMEOUT_S, env=None):
    code, output = command(args, timeout, env)
    yield name, code == 0, output if code else ""


def build(preset):
    code, output = command(["cmake", "--preset", preset])
    if code == 0:
        code, output = command(["cmake", "--build", "--preset", preset])
    yield f"build {preset}", code == 0, output if code else ""


def ctest(preset, folder, labels="unit|seam|wire", env=None):
    code, output = command(["ctest", "--test-dir", folder, "--output-on-failure", "-j2", "-L", labels], env=env)
    results = re.findall(r"Test +#\d+: (\S+) \.*\s*(\**\w[\w ]*)", output)
    if not results:
        yield f"ctest {preset}", False, output
        return
    failed = [name for name, verdict in results if "Passed" not in verdict]
    for name, verdict in results:
        yield f"{preset} {name}", "Passed" in verdict, ""
    if failed or code:
        yield f"ctest {preset}", False, output


def suite_tidy():
    yield from single("tidy", [sys.executable, "tests/tidy/tidy.py"])
    yield from single("schemas/generate.py --check", [sys.executable, "schemas/generate.py", "--check"])


def suite_unit():
    yield from build("release")
    yield from ctest("release", "build")


def suite_sanitized():
    yield from build("asan")
    yield from ctest("asan", "build-asan", env={"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0"})


def suite_sim():
    code, output = command([os.path.join(BUILD, "tests/zkarton-sim"), "--list"])
    names = output.split() if code == 0 else []
    yield "sim --list", bool(names), output
    for name in names:
        yield from single(f"sim scenario {name}", [os.path.join(BUILD, "tests/zkarton-sim"), "--scenario", name])
    seeds = "10000" if SOAK else "300"
    yield from single(f"sim {seeds} seeds", [os.path.join(BUILD, "tests/zkarton-sim"), "--seeds", seeds], timeout=7200)


def suite_mutants():
    yield from single("deliberate bugs are caught", [sys.executable, "tests/sim/run_mutants.py"])
    yield from single("deliberate bugs of the Python client are caught", [sys.executable, "tests/clients/run_mutants.py"])
    yield from single("its scenarios pass without them", [sys.executable, "tests/clients/run_mutants.py", "--unchanged"])


class Recorder(unittest.TestResult):
    """Collects (name, passed, detail) of unittest cases."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def addSuccess(self, test):
        self.rows.append((test.id(), True, ""))

    def addError(self, test, err):
        self.rows.append((test.id() if hasattr(test, "id") else str(test), False, self._exc_info_to_string(err, test)))

    addFailure = addError

    def addSkip(self, test, reason):
        if "build-" in os.environ.get("ZKT_BIN", ""):  # of sanitized programs: what cannot be tested with them
            print(f"skipped {test.id()}: {reason}", flush=True)
        else:
            self.rows.append((f"{test.id()} skipped: {reason}", False, f"a test must run here: {reason}"))

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.addError(subtest, err)


def module_rows(module):
    recorder = Recorder()
    unittest.TestLoader().loadTestsFromName(module).run(recorder)
    return recorder.rows


def python_tests(folder, lanes=1):
    """Each module in a process of its own, so many at a time; rows in the order of names."""
    package = folder.removeprefix("tests/").replace("/", ".")
    modules = [f"{package}.{path[:-3]}" for path in sorted(os.listdir(os.path.join(ROOT, folder)))
               if path.startswith("test_") and path.endswith(".py")]
    with concurrent.futures.ProcessPoolExecutor(lanes, multiprocessing.get_context("spawn"), end_with, (os.getpid(),),
                                                max_tasks_per_child=1) as pool:
        for module, future in [(module, pool.submit(module_rows, module)) for module in modules]:
            try:
                yield from future.result()
            except concurrent.futures.process.BrokenProcessPool as error:
                yield module, False, str(error)


def suite_system():
    os.environ.setdefault("ZKT_BIN", os.path.join(BUILD, "bin"))
    os.environ["ZKT_ROUNDS"] = "500" if SOAK else "50"
    os.environ["ZKT_OBJECT_ROUNDS"] = "200" if SOAK else "20"
    os.environ["ZKT_LARGE_BYTES"] = str(5 << 30 if SOAK else 512 << 20)
    for folder in ("tests/wire", "tests/system"):
        yield from python_tests(folder, LANES)


def client_tests(prefix=""):
    """The scenarios of tests/clients, four at a time: they mostly wait."""
    from clients import test_clients

    def run_one(test):
        recorder = Recorder()
        test.run(recorder)
        return recorder.rows

    tests = list(unittest.TestLoader().loadTestsFromModule(test_clients)._tests[0])
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for rows in pool.map(run_one, tests):
            for name, passed, detail in rows:
                yield prefix + name.removeprefix("clients.test_clients.TestClients."), passed, detail


def suite_clients():
    os.environ.setdefault("ZKT_BIN", os.path.join(BUILD, "bin"))
    yield from client_tests()


def suite_python():
    os.environ.setdefault("ZKT_BIN", os.path.join(BUILD, "bin"))
    folder = os.path.join(ROOT, "worker", "python")
    yield from single("mypy --strict", [sys.executable, "-m", "mypy", "--config-file", folder + "/pyproject.toml", folder + "/zkarton"])
    yield from single("pyright", [sys.executable, "-m", "pyright", "-p", folder, "--pythonpath", sys.executable])
    pairs = "50000" if SOAK else "2000"
    yield from single("filters as karton-core's", [
        sys.executable, "tests/system/filters/differential.py", "--command", f"{sys.executable} -m zkarton match --jsonl",
        "--count", pairs, "--python", sys.executable], env={"PYTHONPATH": folder})
    yield from python_tests("tests/unit/python", LANES)


def suite_python_versions():
    if not SOAK:
        return
    import python_versions
    yield from python_versions.rows()


def suite_demo():
    for attempt in (1, 2):
        code, output = command(["./dev", "demo"], timeout=300)
        yield f"demo, run {attempt}", code == 0, output if code else ""
    code, output = command(["./dev", "demo", "--python"], timeout=300)
    yield "demo with Python workers", code == 0, output if code else ""


def suite_fuzz():
    yield from build("fuzz")
    yield from single("fuzz smoke", [sys.executable, "tests/fuzz/run.py", "--seconds", "5"])


def suite_threads():
    if not SOAK:
        return
    yield from build("tsan")
    yield from ctest("tsan", "build-tsan", env={"TSAN_OPTIONS": TSAN_OPTIONS})


def suite_sanitized_system():
    if not SOAK:
        return
    for preset in ("asan", "tsan"):
        yield from build(preset)
        os.environ["ZKT_BIN"] = os.path.join(ROOT, f"build-{preset}", "bin")
        os.environ["ZKT_ROUNDS"] = os.environ["ZKT_OBJECT_ROUNDS"] = "20"
        os.environ["TSAN_OPTIONS"] = TSAN_OPTIONS
        for folder in ("tests/wire", "tests/system"):
            for name, passed, detail in python_tests(folder):
                yield f"{preset} {name}", passed, detail
        yield from client_tests(f"{preset} ")
    os.environ.pop("ZKT_BIN", None)


SUITES = {name.removeprefix("suite_"): function for name, function in list(globals().items())
          if name.startswith("suite_")}


def main():
    global SOAK
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--soak", action="store_true", help="the long form of each suite, and the suites of soak only")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("suites", nargs="*", choices=[[], *SUITES])
    options = parser.parse_args()
    if options.list:
        print("\n".join(SUITES))
        return 0
    SOAK = options.soak
    os.environ["ZKT_SOURCE_DIR"] = ROOT
    os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
    passed_count = failed_count = 0
    failures = []
    for suite in options.suites or SUITES:
        start = time.monotonic()
        suite_count = passed_count + failed_count
        for name, passed, detail in SUITES[suite]():
            passed_count += passed
            failed_count += not passed
            if not passed:
                failures.append(name)
                print(f"FAILED {name}\n{detail}", flush=True)
        count = passed_count + failed_count - suite_count
        print(f"{suite}: {count} tests in {time.monotonic() - start:.0f} s", flush=True)
    for name in failures:
        print(f"failed: {name}")
    print(f"{passed_count} passed, {failed_count} failed", flush=True)
    return 1 if failed_count or not passed_count else 0


if __name__ == "__main__":
    sys.exit(main())
