"""Remote resources whose methods are awaited."""
from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import zipfile
from io import BytesIO
from typing import IO, AsyncIterator, Optional

from .. import resource as sync
from ..resource import LocalResource, LocalResourceBase, Resource, ResourceBase
from .._threads import on_a_thread


class RemoteResource(sync.RemoteResource):
    """As zkarton.RemoteResource; what downloads is awaited and runs on a thread of its own."""

    @property
    def content(self) -> bytes:
        """Its bytes, once they are downloaded."""
        if self._content is None:
            raise RuntimeError("Resource object needs to be explicitly downloaded before its content is used: "
                               "await resource.download()")
        return self._content

    async def download(self) -> bytes:  # type: ignore[override]
        """Downloads into memory; the bytes."""
        return await on_a_thread(super().download)

    async def download_to_file(self, path: str) -> None:  # type: ignore[override]
        """Downloads into the file."""
        await on_a_thread(super().download_to_file, path)

    @contextlib.asynccontextmanager
    async def download_temporary_file(self, suffix: Optional[str] = None  # type: ignore[override]
                                      ) -> AsyncIterator[IO[bytes]]:
        """A named temporary file with its bytes, deleted at the end of ``async with``."""
        handle, path = tempfile.mkstemp(suffix=suffix)
        os.close(handle)
        try:
            await self.download_to_file(path)
            with open(path, "rb") as file:
                yield file
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)

    @contextlib.asynccontextmanager
    async def zip_file(self) -> AsyncIterator[zipfile.ZipFile]:  # type: ignore[override]
        """A zip opened for reading."""
        if self._content:
            yield zipfile.ZipFile(BytesIO(self._content))
        else:
            async with self.download_temporary_file() as file:
                yield zipfile.ZipFile(file)

    async def extract_to_directory(self, path: str) -> None:  # type: ignore[override]
        """Unpacks a zip into the directory."""
        async with self.zip_file() as archive:
            await asyncio.to_thread(archive.extractall, path)

    @contextlib.asynccontextmanager
    async def extract_temporary(self) -> AsyncIterator[str]:  # type: ignore[override]
        """A temporary directory with a zip unpacked, deleted at the end of ``async with``."""
        path = tempfile.mkdtemp()
        try:
            await self.extract_to_directory(path)
            yield path
        finally:
            await asyncio.to_thread(shutil.rmtree, path, True)


def of(resource: sync.RemoteResource) -> RemoteResource:
    """The same resource with methods to be awaited."""
    made = RemoteResource.__new__(RemoteResource)
    made.__dict__.update(resource.__dict__)
    return made


__all__ = ["LocalResource", "LocalResourceBase", "RemoteResource", "Resource", "ResourceBase", "of"]
