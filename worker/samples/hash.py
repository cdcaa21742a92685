"""The hash service in Python: MD5, SHA-1 and SHA-256 of every recognized sample, as a task of type hash."""
import hashlib

from zkarton import Karton, Task, __version__


class Hash(Karton):
    """MD5, SHA-1 and SHA-256 of every recognized sample"""

    identity = "karton.hash"
    filters = [{"type": "sample", "stage": "recognized"}]
    version = __version__

    def process(self, task):
        sample = task.get_resource("sample")
        digests = {name: hashlib.new(name) for name in ("md5", "sha1", "sha256")}
        size = 0
        with sample.download_temporary_file() as file:
            for block in iter(lambda: file.read(1 << 16), b""):
                size += len(block)
                for digest in digests.values():
                    digest.update(block)
        hashes = {name: digest.hexdigest() for name, digest in digests.items()}
        self.log.info("sha256 %.8s…", hashes["sha256"])
        self.send_task(Task({"type": "hash"}, {"sample": sample, "size": size, **hashes}))


if __name__ == "__main__":
    Hash.main()
