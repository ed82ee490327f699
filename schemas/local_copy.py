"""A cache in an object store, read as if it stood on this machine: fetched once, checked, and kept."""

import fcntl
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from schemas.console import progress
from schemas.errors import ManifestError, ShardError
from schemas.files import cache_folder, sha256_of, write_bytes
from schemas.manifest import MANIFEST_NAME, STATS_NAME, CacheManifest, digest_of
from schemas.manifest_file import parse_manifest, read_manifest
from schemas.object_store import ObjectStore, is_url

_THREADS = 8


def local_copy(place: str | Path, *, quiet: bool = False, afresh: bool = False) -> Path:
    """The folder itself, or a copy on this machine of one that a URL names.

    The copy is kept below `cache_folder()`. Only what changed is fetched again, eight files at once; one
    process fetches, and others on the machine wait for it, so each byte comes once a machine. A fetch that
    was stopped goes on.

    Args:
        place: a folder, or a URL.
        quiet: show no progress.
        afresh: fetch what is here already once more, so that the store itself is looked at.

    Returns:
        A folder with manifest, shards and statistics.

    Raises:
        ManifestError: there is no cache.
        ShardError: a file is not the one that the manifest names.
        StoreError: the store does not answer, or refuses.
    """
    if not is_url(place):
        return Path(place)
    store = ObjectStore(str(place))
    folder = cache_folder() / "copies" / digest_of(store.url)[:32]
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        found = store.read(MANIFEST_NAME)
        if found is None:
            raise ManifestError(
                f"{store.url}: no {MANIFEST_NAME}, so no teacher cache; make one with cache-teacher --out URL"
            )
        manifest = parse_manifest(found, f"{store.url}/{MANIFEST_NAME}")
        _fetch(store, folder, manifest, quiet=quiet, afresh=afresh)
        # Last: the files that it names are there.
        write_bytes(folder / MANIFEST_NAME, found)
    return folder


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    with (folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(store: ObjectStore, folder: Path, manifest: CacheManifest, *, quiet: bool, afresh: bool) -> None:
    digests, checked = digests_of(manifest), _checked(folder)
    for path in folder.glob("*.parquet"):
        if path.name not in digests:
            # Of a cache that stood there before.
            path.unlink()
    missing = [
        name
        for name, digest in digests.items()
        if afresh
        or not (folder / name).is_file()
        or (checked.get(name) != digest and sha256_of(folder / name) != digest)
    ]
    if not missing:
        return

    def fetch(name: str) -> None:
        store.download(name, folder / name)
        if (found := sha256_of(folder / name)) != digests[name]:
            (folder / name).unlink()
            raise ShardError(
                f"{store.url}/{name} was altered: its SHA-256 is {found[:16]}..., the manifest has "
                f"{digests[name][:16]}...; restore it from a copy"
            )

    with (
        progress(f"fetching {store.url}", len(missing), "files", quiet=quiet) as advance,
        ThreadPoolExecutor(_THREADS) as threads,
    ):
        for _ in threads.map(fetch, missing):
            advance(1)


def digests_of(manifest: CacheManifest) -> dict[str, str]:
    """Every file that a manifest names beside itself, with its SHA-256."""
    stats = {STATS_NAME: manifest.stats_sha256} if manifest.stats_sha256 else {}
    return {file.name: file.sha256 for file in manifest.files} | stats


def _checked(folder: Path) -> dict[str, str]:
    """Digests of what an earlier fetch compared; none where that did not end."""
    try:
        return digests_of(read_manifest(folder))
    except ManifestError:
        return {}
