#!/usr/bin/env python3
"""The files under schemas/ against what is made of them: outputs are fresh, ids are used, examples fit.

usage: test_schemas.py SOURCE_DIR
"""
import copy
import json
import os
import re
import subprocess
import sys

UID = "47db1ea8-3531-4bea-a3b2-b29dfbd8b100"
RESOURCE = {"__karton_resource__": {"uid": UID, "name": "sample.exe", "bucket": "karton", "size": 2, "flags": [],
                                    "metadata": {"sha256": "9b" * 32}, "sha256": "9b" * 32}}
TASK = {"error": None, "headers": {"type": "sample", "quality": "high"}, "headers_persistent": {"quality": "high"},
        "last_update": 1795489238.5629015, "orig_uid": None, "parent_uid": None,
        "payload": {"n": 3, "list": [RESOURCE], "sample": RESOURCE},
        "payload_persistent": {"__headers_persistent": {"quality": "high"}}, "priority": "high", "root_uid": UID,
        "status": "Declared", "uid": f"{{{UID}}}:{UID}"}
BIND = {"filters": [{"type": "a"}], "info": "Doc", "is_async": False, "persistent": True, "service_version": "1.0",
        "version": "5.9.1"}
FILTERS = [[], {}, [{}], [{"type": "sample", "platform": "!win*"}], [{"n": {"$gt": 3, "$lt": 5}}],
           [{"$or": [{"a": 1}, {"b": None}]}], [{"v": {"$in": [1, 2]}}], [{"v": {"$not": {"$regex": "^a"}}}],
           [{"v": {"a": 1}}], [{"v": {"$mod": [3, 1]}}]]
NO_FILTERS = ["text", {"a": 1}, [1], [{"v": {"$nto": 1}}], [{"v": {"$in": 1}}], [{"v": {"$mod": [3]}}], [{"$or": {}}]]


def load(source, name):
    with open(os.path.join(source, "schemas", name), encoding="utf-8") as file:
        return json.load(file)


def changed(document, path, value):
    document = copy.deepcopy(document)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return document


def check_outputs(source):
    done = subprocess.run([sys.executable, os.path.join(source, "schemas", "generate.py"), "--check"], check=False)
    if done.returncode != 0:
        raise SystemExit("generate.py --check: run schemas/generate.py")


def check_errors(source):
    errors = load(source, "errors.json")["errors"]
    numbers = [error["number"] for error in errors]
    if numbers != list(range(len(errors))) or len({error["name"] for error in errors}) != len(errors):
        raise SystemExit("errors.json: numbers must count up from 0, names must differ")


def check_events(source):
    rows = load(source, "events.json")["log"]
    known = {row["id"]: row["level"] for row in rows}
    if [row["id"] for row in rows] != sorted(known):
        raise SystemExit("events.json: ids must be sorted and differ")
    used = set()
    for folder in ("broker", "common"):
        for directory, _, names in os.walk(os.path.join(source, folder)):
            for name in (name for name in names if name.endswith(".c")):
                with open(os.path.join(directory, name), encoding="utf-8") as file:
                    text = file.read()
                for level, log_id in re.findall(r'\blog_(debug|info|warn|error)\(\s*"([^"]+)"', text):
                    used.add(log_id)
                    if known.get(log_id) != level:
                        raise SystemExit(f"{directory}/{name}: {log_id} as {level}: not in events.json")
    if set(known) - used:
        raise SystemExit(f"events.json: nobody logs {sorted(set(known) - used)}")


def check_examples(source):
    """False: the package jsonschema is not installed."""
    try:
        import jsonschema
        import referencing
    except ImportError:
        return False
    schemas = {name: load(source, f"{name}.schema.json") for name in ("task", "filter", "bind")}
    registry = referencing.Registry().with_resources(
        (schema["$id"], referencing.Resource.from_contents(schema)) for schema in schemas.values())
    validators = {}
    for name, schema in schemas.items():
        jsonschema.Draft202012Validator.check_schema(schema)
        validators[name] = jsonschema.Draft202012Validator(schema, registry=registry)

    def expect(name, document, fits):
        if validators[name].is_valid(document) != fits:
            raise SystemExit(f"{name}.schema.json: {document} should {'' if fits else 'not '}fit")

    expect("task", TASK, True)
    expect("task", changed(TASK, ["ours"], 1), True)
    for path, value in ((["status"], "Lost"), (["priority"], None), (["uid"], "x"), (["headers"], []), (["error"], "x"),
                        (["payload"], RESOURCE), (["payload", "sample", "__karton_resource__", "uid"], "x"),
                        (["payload", "list", 0, "__karton_resource__", "size"], -1)):
        expect("task", changed(TASK, path, value), False)
    expect("bind", BIND, True)
    expect("bind", changed(BIND, ["filters"], [{"v": {"$nto": 1}}]), False)
    expect("bind", changed(BIND, ["persistent"], 1), False)
    for filters in FILTERS:
        expect("filter", filters, True)
    for filters in NO_FILTERS:
        expect("filter", filters, False)
    return True


def main():
    source = sys.argv[1]
    check_outputs(source)
    check_errors(source)
    check_events(source)
    print("schemas: fresh" + ("" if check_examples(source) else "; examples not checked, jsonschema is not installed"))


if __name__ == "__main__":
    sys.exit(main())
