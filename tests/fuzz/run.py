#!/usr/bin/env python3
"""Runs the fuzzers: each libFuzzer target, and `filters`, the differential check against karton-core.

`run.py [--seconds N] [TARGET…]`; an hour over all of them by default. A crash, a leak or a slow input fails and names its file.
"""
import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = os.path.join(ROOT, "build-fuzz", "fuzz")
LANES = 2  # side by side


def build():
    for args in (["cmake", "--preset", "fuzz"], ["cmake", "--build", "--preset", "fuzz"]):
        done = subprocess.run(args, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            print(done.stdout.decode())
            sys.exit(1)


def targets():
    return sorted(name for name in os.listdir(FOLDER) if name.startswith("fuzz_")) if os.path.isdir(FOLDER) else []


def write_seeds(name, corpus):
    """The vectors are the first inputs of fuzz_wire, behind the letter that says what they are."""
    if name != "fuzz_wire":
        return
    body = "6201020002000000" + "0f" + "a474797065a673616d706c65a16e01" + "a2687091a474797065a77061796c6f6164c40180"
    seeds = [bytes.fromhex(body)]
    for file_name, letter in (("values.json", b"v"), ("commands.json", b"c")):
        with open(os.path.join(ROOT, "schemas", "vectors", file_name), encoding="utf-8") as file:
            seeds += [letter + bytes.fromhex(row["hex"]) for row in json.load(file) if len(row["hex"]) < 10000]
    for index, seed in enumerate(seeds):
        with open(os.path.join(corpus, str(index)), "wb") as file:
            file.write(seed)


def fuzz(name, seconds):
    seeds = os.path.join(ROOT, "tests", "fuzz", "seeds", name)
    with tempfile.TemporaryDirectory(prefix="zkt-fuzz-") as corpus:
        write_seeds(name, corpus)
        args = [os.path.join(FOLDER, name), f"-max_total_time={seconds}", "-timeout=5", "-rss_limit_mb=2048",
                "-print_final_stats=1", f"-artifact_prefix={tempfile.gettempdir()}/{name}-", corpus]
        if os.path.isdir(seeds):
            args.append(seeds)
        done = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    output = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        print(output[-6000:])
        return False
    runs = [line.split()[-1] for line in output.splitlines() if line.startswith("stat::number_of_executed_units")]
    print(f"{name}: {runs[0] if runs else '?'} inputs in {seconds} s, clean", flush=True)
    return True


def filters(count):
    script = os.path.join(ROOT, "tests", "system", "filters", "differential.py")
    command = os.path.join(ROOT, "build", "bin", "zkarton") + " match --jsonl"
    args = [sys.executable, script, "--command", command, "--count", str(count), "--python", os.environ.get("ZKT_PYTHON", sys.executable)]
    return subprocess.run(args, stdin=subprocess.DEVNULL, check=False).returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=0, help="of each target; by default an hour over all")
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    options = parser.parse_args()
    if options.targets == ["filters"]:
        return 0 if filters(100000) else 1
    build()
    names = [name for name in targets() if not options.targets or name in options.targets or name[5:] in options.targets]
    if not names:
        print(f"no such target; there are {' '.join(targets())} filters")
        return 2
    seconds = options.seconds or 3600 * LANES // len(names)
    with concurrent.futures.ThreadPoolExecutor(LANES) as pool:
        clean = list(pool.map(lambda name: fuzz(name, seconds), names))
    return 0 if all(clean) else 1


if __name__ == "__main__":
    sys.exit(main())
