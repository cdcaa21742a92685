"""A Karton producer of the tests: submit.py MANIFEST sends each case and prints {case: root uid}."""
import json
import sys

from karton.core import Config, Producer, Resource, Task
from karton.core.task import TaskPriority


def main():
    with open(sys.argv[1], encoding="ascii") as file:
        manifest = json.load(file)
    producer = Producer(config=Config(), identity="test.producer")
    roots = {}
    for case in manifest:
        task = Task(
            headers={"type": "sample", "kind": "raw", **case.get("headers", {})},
            headers_persistent={"uploader": "tests", **case.get("headers_persistent", {})},
            payload={"sample": Resource(case["name"], path=case["path"]), **case.get("payload", {})},
            payload_persistent=case.get("payload_persistent"),
            priority=TaskPriority(case.get("priority", "normal")))
        producer.send_task(task)
        roots[case["case"]] = task.root_uid
    json.dump(roots, sys.stdout)


if __name__ == "__main__":
    main()
