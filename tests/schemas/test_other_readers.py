"""A cache is read by others without this project: polars, DuckDB and datasets."""

from pathlib import Path

import pytest

from schemas.manifest import CacheManifest

Cache = tuple[Path, CacheManifest]


def test_polars(cache: Cache) -> None:
    import polars as pl

    table = pl.read_parquet(cache[0] / "*.parquet").sort("example_id")
    assert table["example_id"].to_list() == ["a", "b", "c"]
    assert table["fields"][0].to_list() == [{"name": "text", "text": "Text of a, naïve."}]
    assert table["teacher_repr"][0].to_list() == [0, 1, 2, 3]
    assert table["teacher_repr"].null_count() == 2


def test_duckdb(cache: Cache) -> None:
    import duckdb

    query = f"SELECT example_id, class_ids[1], teacher_repr[2], error FROM '{cache[0]}/*.parquet' ORDER BY 1"
    assert duckdb.sql(query).fetchall() == [
        ("a", 1, 1.0, None),
        ("b", 1, None, None),
        ("c", 1, None, "it would not say"),
    ]


@pytest.mark.filterwarnings("ignore")  # what datasets and its imports warn of is theirs
def test_datasets(cache: Cache, tmp_path_factory: pytest.TempPathFactory) -> None:
    import datasets

    home = str(tmp_path_factory.mktemp("datasets"))
    loaded = datasets.load_dataset("parquet", data_dir=str(cache[0]), cache_dir=home)
    assert {name: rows.num_rows for name, rows in loaded.items()} == {"train": 2, "test": 1}
    first = loaded["train"][0]
    assert (first["example_id"], first["teacher_repr"]) == ("a", [0, 1, 2, 3])
    assert first["usage"] == {"prompt_tokens": 3, "completion_tokens": 2}
