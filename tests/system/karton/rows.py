"""rows.py: prints every task that a real Karton knows, one JSON document a line, read by its own backend."""
import json

from karton.core import Config
from karton.core.backend import KartonBackend


def main():
    for task in KartonBackend(Config()).iter_all_tasks(parse_resources=False):
        print(json.dumps(task.to_dict()))


if __name__ == "__main__":
    main()
