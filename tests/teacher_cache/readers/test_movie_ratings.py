"""The movie-review sentences with the rating itself as the label."""

from pathlib import Path

from schemas.tasks import TASKS
from teacher_cache.readers.rated_sentences import MOVIE_REVIEWS

LINES = b"7\t2.5\tFine.\n8\t0.4\tSo so.\n9\t-0.5\tPoor film.\n10\t-3\tso  SO.\n"


def test_every_sentence_has_its_rating(tmp_path: Path) -> None:
    path = tmp_path / "movieReviewSnippets_GroundTruth.txt"
    path.write_bytes(LINES)

    examples = MOVIE_REVIEWS.read(path, TASKS["movie-rating"]).examples
    assert [(e.id, e.task, e.label.value) for e in examples] == [
        ("movie-00007", "movie-rating", 2.5),
        ("movie-00008", "movie-rating", 0.4),
        ("movie-00009", "movie-rating", -0.5),
    ]
    assert not any(e.label.class_ids for e in examples)


def test_both_tasks_put_a_sentence_in_one_split(fetched: Path) -> None:
    source = fetched / "tasks" / "movie-reviews"
    ratings = {e.id: e for e in MOVIE_REVIEWS.read(source, TASKS["movie-rating"]).examples}
    clear = MOVIE_REVIEWS.read(source, TASKS["movie-sentiment"]).examples
    assert len(ratings) > len(clear)
    shared = [(e, ratings[e.id]) for e in clear if e.id in ratings]
    assert len(shared) > 0.99 * len(clear)
    for sentence, rated in shared:
        assert rated.split == sentence.split
        assert (rated.label.value > 0) == (sentence.label.class_ids == (1,))
