"""A folder of an object store, named by a URL that fsspec knows: s3://, gs://, hf://, file://.

Keys and endpoints come from the environment, as each store's own library reads them.
"""

import errno
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from schemas.errors import ConfigError, StoreError
from schemas.files import whole_file

# What a URL of theirs names is a path; elsewhere a bucket stands in front of it.
_WITHOUT_BUCKETS = ("file", "local", "memory")
_LIBRARIES = {"s3": 'it: pip install "armada-distill[s3]"', "gs": "it: pip install gcsfs"}
_OF_THIS_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
_MISTYPED = re.compile(r"^(s3|gs|gcs|hf|file|az|abfs|https?):/?[^/]")


def is_url(place: str | Path) -> bool:
    """Whether a place is an object store's and not this machine's."""
    return _URL.match(str(place)) is not None


def lacks_a_slash(place: str | Path) -> bool:
    """Whether a path reads as a URL that was mistyped, of which a folder with a colon would be made."""
    return _MISTYPED.match(str(place)) is not None


class ObjectStore:
    """One folder of a store. What is written is there whole or not at all, as such stores promise.

    Args:
        url: of the folder.

    Raises:
        ConfigError: it names a key, no bucket, or a store whose library is not installed.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        parts = urlsplit(url)
        if "@" in parts.netloc or parts.query:
            where = f"{parts.scheme}://...{parts.path}"
            raise ConfigError(f"{where}: keys do not belong into a URL; put them into the environment")
        # Without one, fsspec would take what is left for a folder of this machine.
        if not (parts.netloc or (parts.scheme in _WITHOUT_BUCKETS and parts.path.strip("/"))):
            raise ConfigError(
                f"{url}: it names no bucket and no folder; give both, such as s3://bucket/caches/NAME"
            )
        self.url = url.rstrip("/")
        try:
            # Nothing is remembered of what was there: others write, too.
            self._files, root = fsspec.url_to_fs(self.url, use_listings_cache=False, skip_instance_cache=True)
        except (ImportError, ValueError) as error:
            library = _LIBRARIES.get(parts.scheme, "the store's library, if fsspec knows one")
            raise ConfigError(f"{url}: {_first_line(error)}; install {library}") from None
        if "memory" in self._files.protocol:
            raise ConfigError(f"{url}: what it holds ends with this process; give a store that stays")
        self._root = str(root).rstrip("/")

    def read(self, name: str) -> bytes | None:
        """The bytes of a small file; None where there is none.

        Raises:
            StoreError: the store does not answer, or refuses.
        """
        with self._telling(f"cannot read {self.url}/{name}"):
            try:
                return self._files.cat_file(f"{self._root}/{name}")
            except FileNotFoundError as error:
                if _no_bucket(error):
                    raise
                return None

    def write(self, name: str, data: bytes) -> None:
        """Put a small file there, over what was there.

        Raises:
            StoreError: the store does not answer, or refuses.
        """
        with self._telling(f"cannot write {self.url}/{name}"):
            self._make_folder(name)
            self._files.pipe_file(f"{self._root}/{name}", data)

    def upload(self, path: Path, name: str) -> None:
        """Put a file of this machine there.

        Raises:
            StoreError: the store does not answer, or refuses.
        """
        with self._telling(f"cannot write {self.url}/{name}"):
            self._make_folder(name)
            self._files.put_file(str(path), f"{self._root}/{name}")

    def download(self, name: str, path: Path) -> None:
        """Fetch a file; it is there whole or not at all.

        Raises:
            StoreError: it is not there, the store does not answer, or refuses.
            OSError: this machine's disk refuses.
        """
        with whole_file(path) as temporary, self._telling(f"cannot read {self.url}/{name}"):
            self._files.get_file(f"{self._root}/{name}", str(temporary))

    def _make_folder(self, name: str) -> None:
        # A bucket has no folders, a disk does.
        if "file" in self._files.protocol:
            Path(self._root, name).parent.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _telling(self, what: str) -> Generator[None]:
        try:
            yield
        except FileNotFoundError as error:
            gone = "there is no such bucket" if _no_bucket(error) else "it is not there"
            raise StoreError(f"{what}: {gone}; restore it, or give another URL") from None
        except PermissionError as error:
            raise StoreError(
                f"{what}: {_first_line(error)}; give rights to the keys in the environment"
            ) from None
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _OF_THIS_DISK:
                raise
            advice = "run the same command again, it goes on"
            if _no_keys(error):
                advice = "put the store's keys into the environment (docs/scaling.md)"
            raise StoreError(f"{what}: {_first_line(error)}; {advice}") from None


def _no_keys(error: Exception) -> bool:
    # botocore's own words.
    return "credentials" in str(error).lower()


def _no_bucket(error: FileNotFoundError) -> bool:
    # S3's own words; a missing file is named by its path.
    return "bucket does not exist" in str(error).lower()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
