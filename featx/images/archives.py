"""Images inside zip and tar archives, read without unpacking the archive."""

from __future__ import annotations

import lzma
import os
import posixpath
import tarfile
import threading
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from featx.errors import UnreadableImageError, UsageError
from featx.images.file_limits import check_file_size

# Pictures that pack better are blank, and many of them would take hours to unpack.
_LARGEST_RATIO = 200
_ALWAYS_UNPACKED = 1 << 26

# Exceptions of the standard library on damaged archives.
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, KeyError, ValueError)

# Every member of a tar archive begins after its header.
_NOWHERE = 0

_PER_THREAD = threading.local()


@dataclass(frozen=True)
class Member:
    """A file inside an archive."""

    archive: Path
    name: str
    start: int = -1
    size: int = -1

    @property
    def is_dangling(self) -> bool:
        """Whether it is a link to no file of the archive."""
        return self.start == _NOWHERE

    def absolute(self) -> Member:
        """Return the member under the archive's absolute path."""
        return replace(self, archive=self.archive.absolute())

    def read(self, length: int | None = None) -> bytes:
        """Return its bytes, or the first `length` of them."""
        try:
            return self._read_tar(length) if self.start >= 0 else self._read_zip(length)
        except UnreadableImageError:
            raise
        except OSError as error:
            reason = error.strerror or "damaged"
            raise UnreadableImageError(f"the archive cannot be read ({reason})") from error
        except _DAMAGE as error:
            raise UnreadableImageError("damaged inside its archive") from error
        # zipfile raises these on passwords and unknown compression methods.
        except (RuntimeError, NotImplementedError) as error:
            raise UnreadableImageError("encrypted, or compressed in an unknown way") from error

    def _read_tar(self, length: int | None) -> bytes:
        check_file_size(self.size if length is None else length)
        wanted = self.size if length is None else min(length, self.size)
        with self.archive.open("rb") as file:
            file.seek(self.start)
            content = file.read(wanted)
        if len(content) < wanted:
            raise UnreadableImageError("its archive is cut short")
        return content

    def _read_zip(self, length: int | None) -> bytes:
        archive = _zip_of_this_thread(self.archive)
        info = archive.getinfo(self.name)
        size = info.file_size
        check_file_size(size if length is None else length)
        if length is None and size > max(_ALWAYS_UNPACKED, _LARGEST_RATIO * info.compress_size):
            raise UnreadableImageError(
                f"unreasonably compressed: {info.compress_size:,} bytes of the archive claim to be "
                f"{size:,}"
            )
        with archive.open(self.name) as file:
            # The declared size may be wrong; no more than it is ever unpacked.
            return file.read(size if length is None else length)


def _zip_of_this_thread(path: Path) -> zipfile.ZipFile:
    """Open an archive once per thread and process, since its file position is not shared safely."""
    status = path.stat()
    state = (os.getpid(), path, status.st_mtime_ns, status.st_size, status.st_ino)
    if getattr(_PER_THREAD, "state", None) != state:
        _PER_THREAD.archive = zipfile.ZipFile(path)
        _PER_THREAD.state = state
    return _PER_THREAD.archive


def is_archive(path: Path) -> bool:
    """Return whether a file is a zip or tar archive, by its content."""
    # Neither a named pipe nor a device, which are read for ever.
    return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))


def list_members(path: Path) -> dict[str, Member]:
    """List the files of an archive by name, without absolute paths and ``..``."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = [info.filename for info in archive.infolist() if not info.is_dir()]
            return {safe: Member(path, name) for name in names if (safe := _safe_name(name))}
        with tarfile.open(path, "r:") as tar:
            infos = [info for info in tar if not info.isdir()]
        files = {info.name: info for info in infos if info.isreg() and not info.issparse()}
        return {
            safe: Member(path, info.name, stored.offset_data, stored.size)
            if (stored := files.get(_linked_name(info)))
            else Member(path, info.name, _NOWHERE, 0)
            for info in infos
            if (safe := _safe_name(info.name))
        }
    except tarfile.ReadError as error:
        raise UsageError(
            f"{path} is a compressed or damaged tar archive, of which single files cannot be read; "
            "unpack it, or pack the images as zip or plain tar"
        ) from error
    except (*_DAMAGE, OSError, NotImplementedError) as error:
        raise UsageError(f"the archive {path} is damaged ({error})") from error


def _linked_name(info: tarfile.TarInfo) -> str:
    """Return the name of the member that holds a member's bytes, which links name."""
    if info.issym():
        return posixpath.normpath(posixpath.join(posixpath.dirname(info.name), info.linkname))
    return info.linkname if info.islnk() else info.name


def _safe_name(name: str) -> str:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return "/".join(part for part in parts if part not in ("/", "..") and not part.endswith(":"))
