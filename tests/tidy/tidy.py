#!/usr/bin/env python3
"""Style and structure as a test: prints what is wrong and where, exits 1. docs/testing.md says why each rule stands."""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LINES_MAX = 800
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 120

# A foreign header and the only files that may include it (prefixes of paths; tests are free).
HOMES = {
    "zmq.h": ["broker/io/", "broker/loop.c", "worker/c/", "worker/cli/"],
    "msgpack.h": ["common/wire/"],
    "msgpack/": ["common/wire/"],
    "lmdb.h": ["broker/store/local/"],
    "xxhash.h": ["broker/store/local/"],
    "pcre2.h": ["common/model/filter"],
    "ini.h": ["common/config/"],
    "microhttpd.h": ["broker/http/"],
    "curl/curl.h": ["common/object/", "worker/c/"],
    "expat.h": ["common/object/xml.c"],
    "openssl/": ["common/object/", "broker/migrate_command.c", "worker/c/", "worker/samples/"],
    "zip.h": ["worker/c/"],
    "magic.h": ["worker/samples/"],
}
# A banned call, and what to use.
BANNED = {
    r"\bstrcpy\s*\(": "arena_copy, xstrdup or snprintf",
    r"\bstrcat\s*\(": "bytes_append_text",
    r"\bsprintf\s*\(": "snprintf or bytes_printf",
    r"\bvsprintf\s*\(": "vsnprintf",
    r"\bgets\s*\(": "getline",
    r"\bato[ifl]l?\s*\(": "strtoll with an end check",
    r"\bstrtok(_r)?\s*\(": "spans",
    r"\balloca\s*\(": "an arena",
    r"\bsystem\s*\(": "posix_spawn or fork and exec",
    r"(?<![\w.>])assert\s*\(": "zkt_assert",
    r"(?<![\w.>])(m|c|re)alloc\s*\(": "xmalloc, xcalloc, xrealloc or an arena",
    r"\bMDB_(NOSYNC|NOMETASYNC|WRITEMAP|MAPASYNC)\b": "nothing: durability is a promise",
}
ALLOC_HOMES = ("common/base/memory.c",)
CORE_HEADERS_BANNED = ("time.h", "sys/time.h", "zmq.h", "fcntl.h", "sys/random.h", "unistd.h", "pthread.h")
STEPS = {
    1: ("socket", "broker/io/front_recv.c"), 2: ("decode", "common/wire/command.c"),
    3: ("who, allowed?", "broker/core/session.c"), 4: ("verb", "broker/core/handle_submit.c"),
    5: ("match", "broker/core/route.c"), 6: ("fork, queue", "broker/store/local/queue.c"),
    7: ("durable", "broker/store/local/records.h"), 8: ("choose, lease", "broker/core/dispatch.c"),
    9: ("socket", "broker/io/front_send.c"), 10: ("settle", "broker/core/settle.c"),
}
TOP_LEVEL = {
    "CMakeLists.txt", "CMakePresets.json", "broker", "worker", "common", "schemas", "tests", "docker", "docs", "dev",
    "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", ".clang-format", ".clang-tidy", ".editorconfig", ".ci",
    ".gitignore",
}


def tracked():
    output = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True,
                            capture_output=True).stdout.decode()
    return [path for path in output.split("\0") if path and os.path.isfile(os.path.join(ROOT, path))]


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def without_comments_and_strings(text):
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def check_top_level(paths):
    for name in sorted({path.split("/")[0] for path in paths} - TOP_LEVEL):
        yield f"{name}: does not belong at the top level"


def check_headers(path, text):
    tests = path.startswith("tests/")
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^">]+)[">]', line)
        if not match:
            continue
        name = match.group(2)
        if name == "assert.h" and match.group(1) == "<":
            yield f"{path}:{number}: <assert.h> is banned: use base/assert.h"
        if ".." in name:
            yield f"{path}:{number}: no relative includes"
        for foreign, homes in HOMES.items():
            found = name.startswith(foreign) if foreign.endswith("/") else name == foreign
            if found and not tests and not any(path.startswith(home) for home in homes):
                yield f"{path}:{number}: {name} has its home in {', '.join(homes)}"
        if path.startswith("broker/core/") and name in CORE_HEADERS_BANNED:
            yield f"{path}:{number}: the core is pure: no {name}"
        if path.startswith("broker/core/") and name.startswith(("wire/", "io/", "http/", "object/", "config/")):
            yield f"{path}:{number}: the core does not see {name}"
        if path.startswith("common/") and name.startswith(("store/", "core/", "io/", "http/")):
            yield f"{path}:{number}: common does not see the broker"
        if path.startswith("worker/") and name.startswith(("store/", "core/", "io/", "http/")):
            yield f"{path}:{number}: a worker does not see the broker"


def check_calls(path, code):
    if path.startswith("tests/") or path in ALLOC_HOMES:
        return
    for number, line in enumerate(code.splitlines(), 1):
        for pattern, instead in BANNED.items():
            if re.search(pattern, line):
                yield f"{path}:{number}: banned call; use {instead}"


def check_shape(path, text, code):
    lines = text.splitlines()
    generated = re.search(r"[Gg]enerated by|[Mm]ade by", text[:400]) is not None
    if not path.startswith("tests/"):
        yield from check_length(path, text)
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS_MAX and not generated:
            yield f"{path}:{number}: {len(line)} columns; at most {COLUMNS_MAX}"
        if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line):
            yield f"{path}:{number}: finish it or take it out"
    if path.endswith(".h") and "#pragma once" not in text:
        yield f"{path}: #pragma once is missing"
    start = None
    for number, line in enumerate(code.splitlines(), 1):
        if line.startswith("{"):
            start = number
        elif line.startswith("}") and start is not None:
            if number - start - 1 > FUNCTION_LINES_MAX and not path.startswith("tests/"):
                yield f"{path}:{start}: a function of {number - start - 1} lines; at most {FUNCTION_LINES_MAX}"
            start = None


def check_length(path, text):
    if len(text.splitlines()) > LINES_MAX and not re.search(r"[Gg]enerated by|[Mm]ade by", text[:400]):
        yield f"{path}: {len(text.splitlines())} lines; at most {LINES_MAX}"


def check_tour(texts):
    found = {}
    for path, text in texts.items():
        for match in re.finditer(r"^// Path of a task, step (\d+) of 10: ([^.]+)\.", text, re.M):
            found.setdefault(int(match.group(1)), []).append((match.group(2).strip(), path))
    for step, expected in STEPS.items():
        if found.get(step, []) != [expected]:
            yield f"path of a task, step {step}: expected once, {expected}; found {found.get(step, [])}"


def anchors(text):
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
            for heading in re.findall(r"^#+ +(.+)$", text, re.M)}


def check_links(path, text):
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.S)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        full = os.path.normpath(os.path.join(ROOT, os.path.dirname(path), name)) if name else os.path.join(ROOT, path)
        if not os.path.exists(full):
            yield f"{path}: the link {target} leads nowhere"
        elif anchor and full.endswith(".md") and anchor not in anchors(read(os.path.relpath(full, ROOT))):
            yield f"{path}: no heading #{anchor} in {name or path}"


def check_event_ids(texts):
    events = os.path.join(ROOT, "schemas", "events.json")
    known = set(re.findall(r'"id": *"([A-Z0-9-]+)"', read("schemas/events.json"))) if os.path.exists(events) else set()
    for path, text in texts.items():
        for match in re.finditer(r'\blog_(?:debug|info|warn|error)\(\s*"([^"]+)"', text):
            if match.group(1) not in known and not path.startswith(("tests/", "worker/")):
                yield f"{path}: log id {match.group(1)} is not in schemas/events.json"


def check_format(paths):
    paths = [path for path in paths if not re.search(r"[Gg]enerated by|[Mm]ade by", read(path)[:400])]
    done = subprocess.run(["clang-format", "--dry-run", "-Werror", *paths], cwd=ROOT, capture_output=True, check=False)
    for line in done.stderr.decode().splitlines():
        if "error:" in line:
            yield line.replace("code should be clang-formatted [-Wclang-format-violations]", "./dev lint --fix mends it")


def problems():
    paths = tracked()
    yield from check_top_level(paths)
    sources = [path for path in paths if path.endswith((".c", ".h"))]
    texts = {path: read(path) for path in sources}
    for path, text in texts.items():
        code = without_comments_and_strings(text)
        yield from check_headers(path, text)
        yield from check_calls(path, code)
        yield from check_shape(path, text, code)
    yield from check_tour(texts)
    yield from check_event_ids(texts)
    for path in paths:
        if path.endswith(".py"):
            yield from check_length(path, read(path))
        if path.endswith(".md"):
            yield from check_links(path, read(path))
    yield from check_format(sources)


def main():
    found = list(problems())
    for problem in found:
        print(problem)
    print(f"tidy: {len(found)} problems" if found else "tidy: clean")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
