"""Caches in an object store: a real S3 server on this machine, well and ill."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from schemas.cache import open_cache
from schemas.errors import ConfigError, LockedError, ManifestError, MismatchError, ShardError, StoreError
from schemas.local_copy import local_copy
from schemas.object_store import ObjectStore
from teacher_cache.cli import command
from teacher_cache.shards_cli import group
from teacher_cache.upload import Upload, working_folder

REPOSITORY = Path(__file__).resolve().parents[2]
FETCH = """
import sys
from schemas.local_copy import local_copy
print("ready", flush=True)
sys.stdin.readline()
print(local_copy(sys.argv[1], quiet=True))
"""
Prompts = Callable[..., Path]
Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def sent() -> Counter[str]:
    """How often the server was asked for each object, by its path."""
    return Counter()


@pytest.fixture(scope="module")
def server(sent: Counter[str]) -> Iterator[str]:
    """An S3 server; gives its address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    app = server._server.app

    def counting(environ: dict[str, Any], start: Any) -> Any:
        sent[environ["PATH_INFO"]] += environ["REQUEST_METHOD"] == "GET"
        return app(environ, start)

    server._server.app = counting
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def url(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A folder in a bucket of the test's own."""
    import boto3

    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anybody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "is-welcome")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("ARMADA_CACHE_DIR", str(tmp_path / "home"))
    bucket = f"bucket-{abs(hash(request.node.name)) % 10**8}"
    client = boto3.client("s3")
    client.create_bucket(Bucket=bucket)
    return f"s3://{bucket}/caches/one"


def bucket_of(url: str) -> Any:
    import boto3

    return boto3.resource("s3").Bucket(url.split("/")[2])


def stored(url: str) -> dict[str, bytes]:
    """Every object below a URL, by name."""
    prefix = "/".join(url.split("/")[3:]) + "/"
    return {
        one.key.removeprefix(prefix): one.get()["Body"].read()
        for one in bucket_of(url).objects.filter(Prefix=prefix)
    }


def to_store(url: str) -> dict[str, Any]:
    return {"out": working_folder(url), "upload_to": url}


@pytest.fixture
def whole(prompts: Prompts, run: Run, tmp_path: Path, shard_bytes: Any) -> dict[str, bytes]:
    """Shards and statistics of the same cache, made on this machine."""
    run(prompts(40), out=tmp_path / "whole")
    return shard_bytes(tmp_path / "whole")


def copied(url: str) -> dict[str, bytes]:
    """Shards and statistics, read from the store."""
    folder = local_copy(url, quiet=True)
    open_cache(folder)
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.suffix in (".parquet", ".safetensors")
    }


def test_a_cache_goes_to_a_store_and_is_read_from_it(
    prompts: Prompts, run: Run, url: str, whole: dict[str, bytes]
) -> None:
    summary = run(prompts(40), **to_store(url))
    again = run(prompts(40), **to_store(url))

    assert (summary["folder"], summary["asked"], again["asked"]) == (url, 40, 0)
    assert {name: data for name, data in stored(url).items() if name in whole} == whole
    assert set(stored(url)) == {*whole, "manifest.json", "config.json"}
    assert copied(url) == whole


def test_another_machine_goes_on_from_the_last_shard(
    prompts: Prompts, run: Run, url: str, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, published = Upload.publish, 0

    def cut(upload: Upload, manifest: Any) -> None:
        nonlocal published
        published += 1
        publish(upload, manifest)
        if len(manifest.files) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Upload, "publish", cut)
        with pytest.raises(KeyboardInterrupt):
            run(prompts(40), **to_store(url))
    shutil.rmtree(working_folder(url))
    summary = run(prompts(40), **to_store(url))

    # Two shards of ten rows were there already.
    assert summary["asked"] == 20
    assert copied(url) == whole


def test_a_bucket_that_vanishes_loses_nothing(
    prompts: Prompts, run: Run, url: str, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    publish = Upload.publish

    def vanishing(upload: Upload, manifest: Any) -> None:
        if len(manifest.files) == 2:
            bucket_of(url).objects.all().delete()
            bucket_of(url).delete()
        publish(upload, manifest)

    with monkeypatch.context() as patch:
        patch.setattr(Upload, "publish", vanishing)
        with pytest.raises(
            StoreError, match=r"cannot write s3://.*: there is no such bucket; restore it"
        ) as raised:
            run(prompts(40), **to_store(url))
    assert "\n" not in str(raised.value)
    boto3.client("s3").create_bucket(Bucket=url.split("/")[2])
    summary = run(prompts(40), **to_store(url))

    assert summary["asked"] <= 20
    assert copied(url) == whole


def test_a_store_that_refuses_does_so_before_anything_is_asked(
    prompts: Prompts, run: Run, url: str, teachers: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError("Access Denied")

    with pytest.raises(
        StoreError, match=r"cannot read s3://no-such-bucket/x/manifest\.json: there is no such"
    ):
        run(prompts(20), **to_store("s3://no-such-bucket/x"))
    monkeypatch.setattr("s3fs.S3FileSystem.put_file", refused)
    with pytest.raises(StoreError, match="Access Denied; give rights to the keys"):
        run(prompts(20), **to_store(url))
    assert all(teacher.asked == [] for teacher in teachers)


def test_a_store_that_does_not_answer(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "s3fs.S3FileSystem.cat_file", lambda *_: (_ for _ in ()).throw(ConnectionError("no route\nto host"))
    )
    with pytest.raises(StoreError, match=r"cannot read s3://.*: no route; run the same command again"):
        local_copy(url)


def test_a_store_without_keys_says_where_they_go(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import NoCredentialsError

    def refused(*_: object) -> None:
        raise NoCredentialsError

    monkeypatch.setattr("s3fs.S3FileSystem.cat_file", refused)
    with pytest.raises(StoreError, match="Unable to locate credentials; put the store's keys into the env"):
        local_copy(url)


def test_two_that_write_do_not_overwrite_each_other(
    prompts: Prompts, run: Run, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = Upload.publish

    def raced(upload: Upload, manifest: Any) -> None:
        if len(manifest.files) == 2:
            ObjectStore(url).write("manifest.json", b"of somebody else")
        publish(upload, manifest)

    monkeypatch.setattr(Upload, "publish", raced)
    with pytest.raises(LockedError, match="was written by somebody else since this run began"):
        run(prompts(40), **to_store(url))
    with pytest.raises(ManifestError, match=r"manifest\.json cannot be read"):
        run(prompts(40), **to_store(url))


def test_another_cache_there_is_not_overwritten(prompts: Prompts, run: Run, url: str) -> None:
    run(prompts(20), **to_store(url))
    before = stored(url)
    shutil.rmtree(working_folder(url))
    with pytest.raises(MismatchError, match="is another cache"):
        run(prompts(40, name="others.jsonl"), **to_store(url))

    assert stored(url) == before


def test_a_copy_is_fetched_once_and_only_what_changed(
    prompts: Prompts, run: Run, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(prompts(40), **to_store(url))
    fetched: list[str] = []
    download = ObjectStore.download

    def counted(store: ObjectStore, name: str, path: Path) -> None:
        fetched.append(name)
        download(store, name, path)

    monkeypatch.setattr(ObjectStore, "download", counted)
    copy = local_copy(url, quiet=True)
    assert len(fetched) == 6
    local_copy(url, quiet=True)
    assert len(fetched) == 6
    (copy / "manifest.json").unlink()
    (copy / "test-00000-of-00001.parquet").write_bytes(b"half")
    local_copy(url, quiet=True)
    assert fetched[6:] == ["test-00000-of-00001.parquet"]


def test_processes_of_one_machine_fetch_each_file_once(
    prompts: Prompts, run: Run, url: str, sent: Counter[str], whole: dict[str, bytes]
) -> None:
    run(prompts(40), **to_store(url))
    sent.clear()
    command = [sys.executable, "-c", FETCH, url]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    with ExitStack() as stack:
        both = [stack.enter_context(subprocess.Popen(command, **pipes)) for _ in range(2)]
        # Both have imported what they need before either begins.
        assert [one.stdout.readline() for one in both] == ["ready\n"] * 2
        for one in both:
            one.stdin.write("go\n")
            one.stdin.flush()
        said = [one.communicate()[0].strip() for one in both]

    assert said[0] == said[1]
    folder = Path(said[0])
    assert {name: (folder / name).read_bytes() for name in whole} == whole
    asked = {path.rpartition("/")[2]: count for path, count in sent.items() if path.startswith("/bucket")}
    # Whether the copy is the newest, each asks for itself.
    assert {name: count for name, count in asked.items() if count} == {
        **dict.fromkeys(whole, 1),
        "manifest.json": 2,
    }


def test_an_altered_shard_is_refused(prompts: Prompts, run: Run, url: str) -> None:
    run(prompts(20), **to_store(url))
    ObjectStore(url).write("train-00000-of-00002.parquet", b"something else")

    with pytest.raises(ShardError, match=r"train-00000-of-00002\.parquet was altered: its SHA-256 is"):
        local_copy(url, quiet=True)
    with pytest.raises(ManifestError, match=r"two: no manifest\.json, so no teacher cache"):
        local_copy(url.replace("one", "two"))


def test_verifying_looks_at_the_store_and_not_at_the_copy(prompts: Prompts, run: Run, url: str) -> None:
    run(prompts(20), **to_store(url))
    assert CliRunner().invoke(group, ["verify", url]).exit_code == 0
    name = "train-00000-of-00002.parquet"
    bucket_of(url).delete_objects(Delete={"Objects": [{"Key": f"caches/one/{name}"}]})
    done = CliRunner().invoke(group, ["verify", url])
    assert isinstance(done.exception, StoreError)
    assert f"{name}: it is not there" in str(done.exception)


@pytest.mark.parametrize("mistyped", ["s3:/bucket/x", "s3:bucket/x", "file:/x"])
def test_a_url_that_lacks_a_slash_is_no_folder(mistyped: str, tmp_path: Path, prompts: Prompts) -> None:
    options = ["--model", "none", "--prompts", str(prompts(1)), "--out", mistyped]
    done = CliRunner().invoke(command, options)
    assert done.exit_code == 2
    assert f"{mistyped} looks like a URL that lacks a slash, wanted ://" in done.output


def test_commands_take_urls(prompts: Prompts, run: Run, url: str) -> None:
    run(prompts(20), **to_store(url))
    for name in ("inspect", "status", "verify"):
        done = CliRunner().invoke(group, [name, url, "--json"])
        assert done.exit_code == 0, done.output
    assert json.loads(CliRunner().invoke(group, ["inspect", url, "--json"]).stdout)["rows"] == 20


def test_parts_in_a_store_are_joined_there(
    prompts: Prompts, run: Run, url: str, whole: dict[str, bytes]
) -> None:
    parts = [f"{url}-part{number}of2" for number in (1, 2)]
    for number, part in enumerate(parts, start=1):
        run(prompts(40), **to_store(part), part=f"{number}/2")
    for _ in range(2):
        done = CliRunner().invoke(group, ["merge", *parts, "--out", url, "--json"])
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["folder"] == url

    assert copied(url) == whole


def test_answers_are_copied_out_of_a_store(prompts: Prompts, run: Run, url: str, tmp_path: Path) -> None:
    file = prompts(20)
    run(file, **to_store(url))
    options = ["--model", "fast:", "--prompts", str(file), "--out", str(tmp_path / "again")]
    done = CliRunner().invoke(command, [*options, "--rows-per-shard", "10", "--reuse", url, "--json"])
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert (summary["reused"], summary["asked"]) == (20, 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ["export", "CACHE", "--format", "trl", "--out", "s3://bucket/x"],
        ["import", "CACHE", "--format", "trl", "--out", "s3://bucket/x"],
        ["import", "s3://bucket/x", "--format", "trl", "--out", "CACHE"],
    ],
)
def test_what_only_this_machine_can_hold_refuses_a_url(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(group, arguments)
    assert done.exit_code == 2
    assert "s3://bucket/x is a URL; give a path of this machine" in done.output
    assert not list(tmp_path.iterdir())


def test_a_folder_by_url_is_a_store_too(
    prompts: Prompts, run: Run, tmp_path: Path, url: str, shard_bytes: Any
) -> None:
    place = f"file://{tmp_path}/shared/cache"
    run(prompts(20), **to_store(place))

    assert copied(place) == shard_bytes(tmp_path / "shared" / "cache")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://key:secret@bucket/x", r"s3://\.\.\./x: keys do not belong into a URL"),
        ("zz://bucket/x", "Protocol not known: zz; install the store's library, if fsspec knows one"),
        ("memory://bucket/x", "what it holds ends with this process"),
        ("gs://bucket/x", r"gcsfs.*; install it: pip install gcsfs"),
        ("s3://", "s3://: it names no bucket"),
        ("s3:///x", "s3:///x: it names no bucket"),
        ("file:///", "file:///: it names no bucket and no folder"),
    ],
)
def test_urls_that_cannot_be(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        ObjectStore(url)
    assert "secret" not in str(raised.value)
