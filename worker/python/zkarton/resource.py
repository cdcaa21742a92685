"""Resources: files that a payload refers to (parity B1-B4)."""
from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import tempfile
import uuid
import zipfile
from typing import IO, Any, Callable, ContextManager, Dict, Iterator, List, Optional, Union

from .exceptions import ZkartonError

BLOCK_BYTES = 1 << 18
DIRECTORY_FLAG = "Directory"


def _leads_out(path: str, directory_path: str) -> bool:
    """A link out of the directory would carry what is elsewhere on this machine into a task."""
    if not os.path.islink(path):
        return False
    root = os.path.realpath(directory_path)
    return os.path.commonpath([root, os.path.realpath(path)]) != root


def _hash_of(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    for block in iter(lambda: stream.read(BLOCK_BYTES), b""):
        digest.update(block)
    return digest.hexdigest()


def _stamp_of(stream: IO[bytes]) -> Any:
    """What changes when the file behind it is written; None: that cannot be told."""
    try:
        status = os.fstat(stream.fileno())
    except (AttributeError, OSError):  # not of the system
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class ResourceBase:
    """What local and remote resources share."""

    DIRECTORY_FLAG = DIRECTORY_FLAG

    def __init__(self, name: str, content: Optional[Union[str, bytes]] = None, path: Optional[str] = None,
                 bucket: Optional[str] = None, metadata: Optional[Dict[str, Any]] = None, sha256: Optional[str] = None,
                 fd: Optional[IO[bytes]] = None, _uid: Optional[str] = None, _size: Optional[int] = None,
                 _flags: Optional[List[str]] = None) -> None:
        if content and path:
            raise ValueError("Can't set both path and content for resource")
        self.name = name
        self.bucket = bucket
        if metadata and not isinstance(metadata, dict):
            raise TypeError(f"metadata of {name}: {type(metadata).__name__}, not a dict")
        self.metadata: Dict[str, Any] = metadata or {}
        sha256 = sha256 or self.metadata.get("sha256")
        self._is_sha256_given = sha256 is not None
        self._content: Optional[bytes] = None
        self._stamp: Any = None  # of the file when it was hashed
        if path:
            if not os.path.isfile(path):
                raise IOError(f"Path {path} doesn't exist or is not a file")
            if sha256 is None:
                with open(path, "rb") as file:
                    self._stamp = _stamp_of(file)
                    sha256 = _hash_of(file)
        elif fd is not None:
            if sha256 is None:
                position = fd.tell()
                fd.seek(0)
                self._stamp = _stamp_of(fd)
                sha256 = _hash_of(fd)
                fd.seek(position)
        elif content:
            if isinstance(content, str):
                self._content = content.encode()
            elif isinstance(content, bytes):
                self._content = content
            else:
                raise TypeError("Content can be bytes or str only")
            if sha256 is None:
                sha256 = hashlib.sha256(self._content).hexdigest()
        self.metadata["sha256"] = sha256
        self._uid = _uid or str(uuid.uuid4())
        self._path = path
        self._size = _size
        self._flags: List[str] = _flags or []

    @property
    def uid(self) -> str:
        """Its uid, which is also the key of its object."""
        return self._uid

    @property
    def content(self) -> bytes:
        """All of its bytes."""
        raise NotImplementedError

    @property
    def size(self) -> Optional[int]:
        """In bytes; None if it is not known."""
        if self._size is None:
            if self._path:
                self._size = os.path.getsize(self._path)
            elif self._content is not None:
                self._size = len(self._content)
        return self._size

    @property
    def sha256(self) -> Optional[str]:
        """Of the content, in hex; None if it is not known."""
        return self.metadata.get("sha256")

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory, packed as zip."""
        return DIRECTORY_FLAG in self._flags

    def to_dict(self) -> Dict[str, Any]:
        """How Karton's document of a task says it."""
        return {"uid": self.uid, "name": self.name, "bucket": self.bucket, "size": self.size,
                "metadata": self.metadata, "flags": self._flags, "sha256": self.sha256}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} {self.size} bytes, uid {self.uid}>"


class LocalResource(ResourceBase):
    """A file, some bytes or an open file of this process; uploaded when its task is sent.

    :param name: of the file
    :param content: bytes, or a text that is sent as UTF-8; exactly one of content, path and fd
    :param path: of the file
    :param fd: an open binary file that can seek; must stand at its start when it is sent
    :param metadata: anything that JSON can say
    :param sha256: if it is known already
    """

    def __init__(self, name: str, content: Optional[Union[str, bytes]] = None, path: Optional[str] = None,
                 bucket: Optional[str] = None, metadata: Optional[Dict[str, Any]] = None, uid: Optional[str] = None,
                 sha256: Optional[str] = None, fd: Optional[IO[bytes]] = None, _flags: Optional[List[str]] = None,
                 _close_fd: bool = False) -> None:
        if len([source for source in (path, content, fd) if source]) != 1:
            raise ValueError("You must exclusively provide a path, content or fd")
        super().__init__(name, content=content, path=path, bucket=bucket, metadata=metadata, sha256=sha256, fd=fd,
                         _uid=uid, _flags=_flags)
        self.fd = fd
        self._close_fd = _close_fd

    @property
    def content(self) -> bytes:
        if self._content is None:
            if self._path is not None:
                with open(self._path, "rb") as file:
                    self._content = file.read()
            elif self.fd is not None:
                self._content = self.fd.read()
        assert self._content is not None
        return self._content

    @property
    def size(self) -> Optional[int]:
        if self._size is None and self.fd is not None:
            position = self.fd.tell()
            self.fd.seek(0, os.SEEK_END)
            self._size = self.fd.tell()
            self.fd.seek(position)
        return super().size

    @classmethod
    def from_directory(cls, name: str, directory_path: str, compression: int = zipfile.ZIP_DEFLATED,
                       in_memory: bool = False, bucket: Optional[str] = None,
                       metadata: Optional[Dict[str, Any]] = None, uid: Optional[str] = None) -> LocalResource:
        """A whole directory, packed as zip with paths relative to it (B3); links that lead out of it are left out."""
        out: IO[bytes] = io.BytesIO() if in_memory else tempfile.TemporaryFile()
        with zipfile.ZipFile(out, "w", compression=compression) as archive:
            for root, _, files in os.walk(directory_path):
                for file_name in files:
                    path = os.path.join(root, file_name)
                    if not _leads_out(path, directory_path):
                        archive.write(path, os.path.relpath(path, directory_path))
        out.seek(0)
        if isinstance(out, io.BytesIO):
            return cls(name, content=out.getvalue(), bucket=bucket, metadata=metadata, uid=uid, _flags=[DIRECTORY_FLAG])
        return cls(name, fd=out, bucket=bucket, metadata=metadata, uid=uid, _flags=[DIRECTORY_FLAG], _close_fd=True)

    @contextlib.contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Its bytes from the start; for uploading."""
        if self._content is not None and self._path is None and self.fd is None:
            yield io.BytesIO(self._content)
        elif self._path is not None:
            with open(self._path, "rb") as file:
                yield file
        elif self.fd is not None:
            if self.fd.tell() != 0:
                raise RuntimeError("Resource object can't be uploaded: file descriptor must point at first byte "
                                   f"(fd.tell = {self.fd.tell()})")
            yield self.fd
            if self._close_fd:
                self.fd.close()
        else:
            raise RuntimeError("Can't upload resource without content")

    @contextlib.contextmanager
    def opener(self) -> Iterator[Callable[[], ContextManager[IO[bytes]]]]:
        """What opens its bytes from the start, as often as an upload has to begin again."""
        if self.fd is None:
            yield self.open
            return
        with self.open() as stream:  # closed, if it is to be, when the upload is through

            @contextlib.contextmanager
            def again() -> Iterator[IO[bytes]]:
                stream.seek(0)
                yield stream

            yield again

    def _has_changed(self, stream: IO[bytes], sha256: bytes) -> bool:
        """Whether the bytes that ``open`` gave have another hash; a file that nobody wrote since is not read again."""
        if self._path is None and self.fd is None and not self._is_sha256_given:
            return False
        if self._stamp is not None and self._stamp == _stamp_of(stream):
            return False
        stream.seek(0)
        return _hash_of(stream) != sha256.hex()

    def upload(self, backend: Any) -> None:
        """To a backend with Karton's ``upload_object(bucket, uid, content)``."""
        if self._content is None and not self._path and self.fd is None:
            raise RuntimeError("Can't upload resource without content")
        if self.bucket is None:
            raise RuntimeError("Resource object can't be uploaded because its bucket is not set")
        if self._content is not None:
            backend.upload_object(self.bucket, self.uid, self._content)
        elif self.fd is not None:
            with self.open() as stream:
                backend.upload_object(self.bucket, self.uid, stream)
        else:
            backend.upload_object_from_file(self.bucket, self.uid, self._path)


Resource = LocalResource
LocalResourceBase = LocalResource  # karton-core has two, for asyncio


class RemoteResource(ResourceBase):
    """A resource of a task that came from the bus: its bytes come when they are asked for.

    May be put straight into the payload of a child: only the reference travels, nothing is copied.
    """

    def __init__(self, name: str, bucket: Optional[str] = None, metadata: Optional[Dict[str, Any]] = None,
                 uid: Optional[str] = None, size: Optional[int] = None, backend: Any = None,
                 sha256: Optional[str] = None, _flags: Optional[List[str]] = None) -> None:
        super().__init__(name, bucket=bucket, metadata=metadata, sha256=sha256, _uid=uid, _size=size, _flags=_flags)
        self.backend = backend

    def __getstate__(self) -> Dict[str, Any]:
        # For pickle: a session does not travel to another process. What is downloaded does.
        return {**self.__dict__, "backend": None}

    def __copy__(self) -> RemoteResource:
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made

    def __deepcopy__(self, memo: Any) -> RemoteResource:
        made = self.__copy__()
        made.metadata = {**self.metadata}
        return made

    @classmethod
    def from_dict(cls, dict: Dict[str, Any], backend: Any) -> RemoteResource:  # noqa: A002 as Karton names it
        """Of a document; what old versions leave out may be missing (T2)."""
        metadata = dict.get("metadata") or {}
        if "sha256" in dict:
            metadata["sha256"] = dict["sha256"]
        return cls(name=dict["name"], metadata=metadata, bucket=dict["bucket"], uid=dict["uid"],
                   size=dict.get("size"), backend=backend, _flags=dict.get("flags"))

    def loaded(self) -> bool:
        """Whether its bytes are in memory."""
        return self._content is not None

    @property
    def content(self) -> bytes:
        """All of its bytes; downloaded once."""
        return self._content if self._content is not None else self.download()

    def unload(self) -> None:
        """Forgets the bytes."""
        self._content = None

    def _bound(self, what: str) -> Any:
        if self.backend is None:
            raise RuntimeError(f"Resource object can't be {what} because it's not bound to the backend")
        return self.backend

    def remove(self) -> None:
        """Deletes the object, where the backend lets one."""
        backend = self._bound("removed")
        if self.bucket is None:
            raise RuntimeError("Resource object can't be removed because its bucket is not set")
        backend.remove_object(self.bucket, self.uid)

    def _fetch(self, write: Callable[[bytes], Any]) -> None:
        """Downloads block by block; size and hash are checked, a mismatch raises."""
        backend = self._bound("downloaded")
        digest = hashlib.sha256()
        size = 0
        for block in backend.read_object(self):
            digest.update(block)
            size += len(block)
            if self._size is not None and size > self._size:
                raise ZkartonError(f"{self.name}: more came than the {self._size} bytes that were sent", "IO")
            write(block)
        if self._size is not None and size != self._size:
            raise ZkartonError(f"{self.name}: {size} bytes came, {self._size} were sent", "IO")
        if self.sha256 is not None and digest.hexdigest() != self.sha256.lower():
            raise ZkartonError(f"{self.name}: the bytes are not those that were sent (SHA-256 differs)", "IO")

    def download(self) -> bytes:
        """Downloads into memory; the bytes."""
        backend = self._bound("downloaded")
        if hasattr(backend, "read_object"):
            blocks: List[bytes] = []
            self._fetch(blocks.append)
            self._content = b"".join(blocks)
        else:
            if self.bucket is None:
                raise RuntimeError("Resource object can't be downloaded because its bucket is not set")
            self._content = backend.download_object(self.bucket, self.uid)
        assert self._content is not None
        return self._content

    def download_to_file(self, path: str) -> None:
        """Downloads into the file; a broken download leaves none behind."""
        backend = self._bound("downloaded")
        if not hasattr(backend, "read_object"):
            if self.bucket is None:
                raise RuntimeError("Resource object can't be downloaded because its bucket is not set")
            backend.download_object_to_file(self.bucket, self.uid, path)
            return
        if self._content is not None:
            with open(path, "wb") as file:
                file.write(self._content)
            return
        part = f"{path}.{uuid.uuid4().hex[:8]}.part"
        try:
            with open(part, "xb") as file:
                self._fetch(file.write)
            os.replace(part, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(part)
            raise

    @contextlib.contextmanager
    def download_temporary_file(self, suffix: Optional[str] = None) -> Iterator[IO[bytes]]:
        """A named temporary file with its bytes, deleted at the end of ``with``."""
        handle, path = tempfile.mkstemp(suffix=suffix)
        os.close(handle)
        try:
            self.download_to_file(path)
            with open(path, "rb") as file:
                yield file
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)

    @contextlib.contextmanager
    def zip_file(self) -> Iterator[zipfile.ZipFile]:
        """A zip opened for reading; through a temporary file unless it is in memory already."""
        if self._content:
            yield zipfile.ZipFile(io.BytesIO(self._content))
        else:
            with self.download_temporary_file() as file:
                yield zipfile.ZipFile(file)

    def extract_to_directory(self, path: str) -> None:
        """Unpacks a zip into the directory."""
        with self.zip_file() as archive:
            archive.extractall(path)

    @contextlib.contextmanager
    def extract_temporary(self) -> Iterator[str]:
        """A temporary directory with a zip unpacked, deleted at the end of ``with``."""
        path = tempfile.mkdtemp()
        try:
            self.extract_to_directory(path)
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
