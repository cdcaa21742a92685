"""The classifier in Python; a worker of the same consumer as the C one: either takes whatever comes."""
import subprocess

from zkarton import Karton, __version__

KINDS = {
    "application/zip": "archive", "application/x-tar": "archive", "application/gzip": "archive",
    "application/x-xz": "archive", "application/vnd.debian.binary-package": "archive",
    "application/x-debian-package": "archive", "application/x-pie-executable": "runnable",
    "application/x-executable": "runnable", "application/x-sharedlib": "runnable",
    "application/vnd.microsoft.portable-executable": "runnable", "application/x-dosexec": "runnable",
    "text/x-shellscript": "script", "text/x-script": "script", "text/": "document", "application/pdf": "document",
    "image/": "image",
}


class Classifier(Karton):
    """Finds out what kind of file a sample is"""

    identity = "karton.classifier"
    filters = [{"type": "sample", "kind": "raw"}]
    version = __version__

    def process(self, task):
        with task.get_resource("sample").download_temporary_file() as file:
            mime = subprocess.run(["file", "--brief", "--mime-type", file.name], check=True, capture_output=True,
                                  text=True).stdout.strip()
        kind = next((kind for start, kind in KINDS.items() if mime.startswith(start)), "other")
        self.log.info("kind=%s mime=%s", kind, mime)
        self.send_task(task.derive_task({"type": "sample", "stage": "recognized", "kind": kind, "mime": mime}))


if __name__ == "__main__":
    Classifier.main()
