"""A Karton log consumer of the tests: prints each record of the level in $LEVEL."""
import json
import os

from karton.core import LogConsumer


class Logger(LogConsumer):
    identity = "test.logger"
    logger_filter = "test.*"
    level = os.environ.get("LEVEL")

    def process_log(self, event):
        print(json.dumps(event), flush=True)


if __name__ == "__main__":
    Logger.main()
