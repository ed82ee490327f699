"""A cache that is made in a folder of this machine and kept in an object store, file by file as it is sealed.

Order: shards, statistics, then the manifest. A store has no rename and needs none: what its manifest does not
name is not there. Answers that are in no shard yet stand in the journals of the working folder: after a kill
the same machine loses nothing, another one goes on from the last shard.
"""

import shutil
from pathlib import Path

from schemas.errors import LockedError, MismatchError
from schemas.files import cache_folder
from schemas.local_copy import digests_of, local_copy
from schemas.manifest import MANIFEST_NAME, CacheManifest, digest_of
from schemas.manifest_file import parse_manifest, read_manifest
from schemas.object_store import ObjectStore
from teacher_cache.folder import CONFIG_NAME
from teacher_cache.kept_pictures import MEDIA_NAME
from teacher_cache.lock import writer_lock


def working_folder(url: str) -> Path:
    """Where a cache is made that goes to a store."""
    return cache_folder() / "made" / digest_of(url.rstrip("/"))[:32]


class Upload:
    """What stands in a store, and what of a working folder is still to go there.

    Args:
        url: of the cache.
        folder: that it is made in.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self._store, self._folder = ObjectStore(url), folder
        self._sent: dict[str, str] = {}
        self._pictures: set[str] = set()
        self._manifest: bytes | None = None

    def begin(self) -> None:
        """Take over what the store has and this folder lacks, so that the run goes on from there.

        Raises:
            LockedError: another process writes to the folder.
            ManifestError: the store's manifest is damaged.
            MismatchError: store and folder have gone apart.
            StoreError: the store does not answer, or refuses.
        """
        self._manifest = self._store.read(MANIFEST_NAME)
        if self._manifest is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with writer_lock(self._folder):
            self._take_over(self._manifest)

    def _take_over(self, manifest: bytes) -> None:
        there = parse_manifest(manifest, f"{self._store.url}/{MANIFEST_NAME}")
        self._sent = digests_of(there)
        here = digests_of(read_manifest(self._folder)) if (self._folder / MANIFEST_NAME).exists() else {}
        if self._sent.items() <= here.items():
            return
        if not here.items() <= self._sent.items():
            raise MismatchError(
                f"{self._store.url} and its working folder {self._folder} hold different shards: "
                "two machines wrote; delete the working folder to go on from what the store has"
            )
        copy = local_copy(self._store.url, quiet=True)
        for name in (*self._sent, MANIFEST_NAME):
            shutil.copyfile(copy / name, self._folder / name)

    def publish(self, manifest: CacheManifest) -> None:
        """Send what the manifest names and the store lacks, then the manifest.

        Raises:
            LockedError: somebody else has written there since.
            StoreError: the store does not answer, or refuses; the working folder keeps everything.
        """
        written = (self._folder / MANIFEST_NAME).read_bytes()
        if written == self._manifest:
            return
        for name, digest in digests_of(manifest).items():
            if self._sent.get(name) != digest:
                self._store.upload(self._folder / name, name)
                self._sent[name] = digest
        for path in sorted((self._folder / MEDIA_NAME).glob("*.png")):
            if path.name not in self._pictures:
                self._store.upload(path, f"{MEDIA_NAME}/{path.name}")
                self._pictures.add(path.name)
        if self._store.read(MANIFEST_NAME) != self._manifest:
            raise LockedError(
                f"{self._store.url} was written by somebody else since this run began; let one of them go on"
            )
        if (self._folder / CONFIG_NAME).exists():
            self._store.upload(self._folder / CONFIG_NAME, CONFIG_NAME)
        self._store.write(MANIFEST_NAME, written)
        self._manifest = written
