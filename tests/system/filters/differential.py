#!/usr/bin/env python3
"""Compares a matcher that speaks `match --jsonl` with the real karton-core on random filters and headers (F1-F9).

usage: differential.py --command "zkarton match --jsonl" [--count N] [--seed S] [--python VENV_PYTHON]

VENV_PYTHON has karton-core 5.9.1 (`--python venv:DIR` makes such a venv in DIR first). What counts as a difference:
where Karton raises, an error or no match is right; where a clause is one that can raise, an error is right; all else
must be equal. Prints each difference as a line that can be fed to the command, and exits 1 if there is one.
"""
import argparse
import json
import os
import random
import shlex
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import pairs  # noqa: E402

KARTON = "karton-core==5.9.1"


def venv_python(text):
    """The interpreter to run Karton with; venv:DIR is made if it is not there."""
    if not text.startswith("venv:"):
        return text
    folder = text.removeprefix("venv:")
    python = os.path.join(folder, "bin", "python")
    if subprocess.run([python, "-c", "import karton.core"], capture_output=True, check=False).returncode \
            if os.path.exists(python) else True:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", KARTON], check=True)
    return python


def answers_of(command, lines):
    """Runs command over the lines; its answers, one a line."""
    with tempfile.TemporaryFile() as file:
        file.write(("\n".join(lines) + "\n").encode())
        file.seek(0)
        done = subprocess.run(command, stdin=file, stdout=subprocess.PIPE, check=False)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode != 0 or len(answers) != len(lines):
        raise SystemExit(f"{command[0]}: {len(answers)} answers to {len(lines)} lines, exit {done.returncode}")
    return answers


def is_right(ours, karton):
    if "raised" in karton:
        return "error" in ours or ours.get("match") is False
    if "error" in ours:
        return karton["may_raise"]
    return ours["match"] is karton["match"]


def compare(command, python, count, seed):
    """(differences, tallies): differences as (line, ours, Karton's)."""
    rng = random.Random(seed)
    asked = [pairs.random_pair(rng) for _ in range(count)]
    lines = [json.dumps(pair) for pair in asked]
    ours = answers_of(command, lines)
    karton = answers_of([python, os.path.join(HERE, "karton_match.py")],
                        [json.dumps({**pair, "is_refused": "error" in our}) for pair, our in zip(asked, ours)])
    tallies = {"match": 0, "no match": 0, "refused": 0, "raised": 0}
    differences = []
    for line, our, their in zip(lines, ours, karton):
        kind = "raised" if "raised" in their else "refused" if "error" in our else \
            "match" if their["match"] else "no match"
        tallies[kind] += 1
        if not is_right(our, their):
            differences.append((line, our, their))
    return differences, tallies


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", required=True)
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--python", default=sys.executable)
    options = parser.parse_args()
    differences, tallies = compare(shlex.split(options.command), venv_python(options.python), options.count,
                                   options.seed)
    for line, ours, karton in differences[:50]:
        print(f"{line}\n  ours: {json.dumps(ours)}\n  karton: {json.dumps(karton)}")
    print(f"{options.count} pairs of seed {options.seed}: {tallies}, {len(differences)} differences")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
