"""A Karton service of the tests: writes down every task that it is given, with the hash of what it downloads, to $RECORD."""
import hashlib
import json
import os

from karton.core import Karton, RemoteResource, Task


class Recorder(Karton):
    """Takes everything"""

    identity = "test.recorder"
    filters = [{}]
    version = "1.0"

    def process(self, task: Task) -> None:
        contents = {resource.uid: hashlib.sha256(resource.content).hexdigest()
                    for resource in task.iterate_resources() if isinstance(resource, RemoteResource)}
        with open(os.environ["RECORD"], "a", encoding="ascii") as file:
            file.write(json.dumps({"task": task.to_dict(), "contents": contents}) + "\n")


if __name__ == "__main__":
    Recorder.main()
