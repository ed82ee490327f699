"""Files as GLUE's archive has them, with sentences of our own."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from schemas.errors import SourceError
from schemas.example import Label
from schemas.tasks import TASKS
from teacher_cache.config import CacheConfig
from teacher_cache.plan import make_plan
from teacher_cache.readers.glue import read_glue

Write = Callable[[Mapping[str, str]], Path]
MRPC_HEADER = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
STSB_ROW = "0\tm\tf\t2012\t1\tnone\tnone"
STSB_HEADER = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2"
QQP_HEADER = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
PARSES = "sentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse"
MNLI_HEADER = f"index\tpromptID\tpairID\tgenre\t{PARSES}\tsentence1\tsentence2"

FILES: dict[str, dict[str, str]] = {
    "glue/cola": {
        "CoLA/train.tsv": "gj04\t1\t\tThe dog slept.\ngj04\t0\t*\tDog the slept.\n",
        "CoLA/dev.tsv": "gj04\t1\t\tA cat ran.\n",
        "CoLA/test.tsv": "index\tsentence\n0\tWe left.\n",
    },
    "glue/sst2": {
        "SST-2/train.tsv": "sentence\tlabel\nwarm and fine \t1\n",
        "SST-2/dev.tsv": "sentence\tlabel\ndull \t0\n",
        "SST-2/test.tsv": "index\tsentence\n0\tso so\n",
    },
    "glue/mrpc": {
        "MRPC/train.tsv": f'\ufeff{MRPC_HEADER}1\t10\t11\tHe said " yes.\tHe agreed.\n',
        "MRPC/dev.tsv": f'{MRPC_HEADER}0\t12\t13\t" No , " she said.\tShe said " no.\n',
        "MRPC/test.tsv": "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t14\t15\tOne.\tTwo.\n",
    },
    "glue/stsb": {
        "STS-B/train.tsv": f"{STSB_HEADER}\tscore\n{STSB_ROW}\tA man runs.\tHe runs.\t4.750\n",
        "STS-B/dev.tsv": f"{STSB_HEADER}\tscore\n{STSB_ROW}\tA man sits.\tIt rains.\t0.000\n",
        "STS-B/test.tsv": f"{STSB_HEADER}\n0\tm\tf\t2012\t1\tnone\tnone\tIt is cold.\tIt is warm.\n",
    },
    "glue/qqp": {
        "QQP/train.tsv": f'{QQP_HEADER}1\t2\t3\tWhat is "x?\tWhat is y?\t0\n4\t5\t6\tHow?\tIn what way?\t1\n',
        "QQP/dev.tsv": f"{QQP_HEADER}7\t8\t9\tWhy?\tWhat for?\t1\n",
        "QQP/test.tsv": "id\tquestion1\tquestion2\n0\tWho?\tWhere?\n",
    },
    "glue/mnli": {
        "MNLI/train.tsv": f"{MNLI_HEADER}\tlabel1\tgold_label\n"
        "0\t1\t1e\tfiction\t( a )\t( b )\t(A)\t(B)\tIt rains.\tIt is wet.\tentailment\tentailment\n",
        "MNLI/dev_matched.tsv": f"{MNLI_HEADER}\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label\n"
        "0\t1\t1n\tfiction\ta\tb\tA\tB\tHe sings.\tHe is old.\tneutral\tn\tn\tn\tn\tneutral\n"
        "1\t2\t2c\tfiction\ta\tb\tA\tB\tHe sings.\tAll is still.\tneutral\tc\te\tn\tc\t-\n",
        "MNLI/dev_mismatched.tsv": f"{MNLI_HEADER}\tlabel1\tgold_label\n"
        "0\t1\t1c\tverbatim\ta\tb\tA\tB\tIt rains.\tIt is dry.\tcontradiction\tcontradiction\n",
        "MNLI/test_matched.tsv": f"{MNLI_HEADER}\n0\t1\t1c\tfiction\ta\tb\tA\tB\tOne.\tTwo.\n",
        "MNLI/test_mismatched.tsv": f"{MNLI_HEADER}\n0\t1\t1c\tverbatim\ta\tb\tA\tB\tThree.\tFour.\n",
    },
    "glue/qnli": {
        "QNLI/train.tsv": "index\tquestion\tsentence\tlabel\n0\tWhen?\tIt was in May.\tentailment\n",
        "QNLI/dev.tsv": "index\tquestion\tsentence\tlabel\n0\tWho?\tIt was in May.\tnot_entailment\n",
        "QNLI/test.tsv": "index\tquestion\tsentence\n0\tWhere?\tIt was here.\n",
    },
    "glue/rte": {
        "RTE/train.tsv": "index\tsentence1\tsentence2\tlabel\n0\tHe left.\tHe is gone.\tentailment\n",
        "RTE/dev.tsv": "index\tsentence1\tsentence2\tlabel\n0\tHe left.\tHe stays.\tnot_entailment\n",
        "RTE/test.tsv": "index\tsentence1\tsentence2\n0\tHe left.\tHe ran.\n",
    },
}
LABELS = {
    "glue/cola": [1, 0, 1, None],
    "glue/sst2": [1, 0, None],
    "glue/mrpc": [1, 0, None],
    "glue/stsb": [4.75, 0.0, None],
    "glue/qqp": [0, 1, 1, None],
    "glue/mnli": [0, 1, None, 2, None, None],
    "glue/qnli": [0, 1, None],
    "glue/rte": [0, 1, None],
}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(files: Mapping[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="")
        return tmp_path

    return written


def label_of(value: float | None) -> Label:
    if value is None:
        return Label()
    return Label(value=value) if isinstance(value, float) else Label(class_ids=(int(value),))


@pytest.mark.parametrize("name", list(FILES))
def test_every_task_is_read_from_the_archive_and_from_its_own_folder(write: Write, name: str) -> None:
    root, task = write(FILES[name]), TASKS[name]
    reading = read_glue(root, task)

    assert [example.label for example in reading.examples] == [label_of(one) for one in LABELS[name]]
    assert all(tuple(example.fields) == task.fields for example in reading.examples)
    assert {example.split for example in reading.examples} == {"train", "validation", "test"}
    assert len({example.id for example in reading.examples}) == len(reading.examples)
    (folder,) = [path for path in root.iterdir() if path.is_dir()]
    assert read_glue(folder, task).examples == reading.examples
    plan = make_plan(CacheConfig(model="none", task=name, source=root))
    assert len(plan.examples) == len(reading.examples)


def test_cola_has_no_header_but_for_its_test(write: Write) -> None:
    examples = read_glue(write(FILES["glue/cola"]), TASKS["glue/cola"]).examples

    assert [(one.id, one.fields["sentence"]) for one in examples] == [
        ("train-000001", "The dog slept."),
        ("train-000002", "Dog the slept."),
        ("validation-000001", "A cat ran."),
        ("test-000001", "We left."),
    ]


def test_a_quote_is_a_letter_like_any_other(write: Write) -> None:
    one, two, _ = read_glue(write(FILES["glue/mrpc"]), TASKS["glue/mrpc"]).examples
    assert one.fields == {"sentence1": 'He said " yes.', "sentence2": "He agreed."}
    assert two.fields == {"sentence1": '" No , " she said.', "sentence2": 'She said " no.'}
    first, second, *_ = read_glue(write(FILES["glue/qqp"]), TASKS["glue/qqp"]).examples
    assert first.fields == {"question1": 'What is "x?', "question2": "What is y?"}
    assert second.fields == {"question1": "How?", "question2": "In what way?"}


def test_microsofts_own_files_are_divided_by_the_list_of_ids(write: Write) -> None:
    rows = "".join(f'{i % 2}\t{i}\t{i + 100}\tFirst " {i}.\tSecond {i}.\r\n' for i in range(4))
    files = {
        "MRPC/msr_paraphrase_train.txt": f"\ufeff{MRPC_HEADER}{rows}",
        "MRPC/msr_paraphrase_test.txt": f"\ufeff{MRPC_HEADER}1\t50\t51\tA.\tB.\r\n",
        "MRPC/dev_ids.tsv": "1\t101\n3\t103\n",
    }
    task = TASKS["glue/mrpc"]
    examples = read_glue(write(files), task).examples

    assert [(one.id, one.split, one.label.class_ids) for one in examples] == [
        ("train-000001", "train", (0,)),
        ("validation-000002", "validation", (1,)),
        ("train-000003", "train", (0,)),
        ("validation-000004", "validation", (1,)),
        ("test-000001", "test", (1,)),
    ]
    assert examples[1].fields["sentence2"] == "Second 1."
    (write({}) / "MRPC" / "dev_ids.tsv").unlink()
    with pytest.raises(
        SourceError, match=r"dev_ids.tsv is not there, which says which rows of msr_.*_train.txt"
    ):
        read_glue(write({}), task)


def test_broken_lines_of_qqp_are_left_out_and_counted(write: Write) -> None:
    broken = f"{QQP_HEADER}1\t2\t3\tWhat is\nbroken?\tWhat is y?\t0\n4\t5\t6\tHow?\tIn what way?\t1\n"
    root = write({"QQP/train.tsv": broken})
    reading = read_glue(root, TASKS["glue/qqp"])

    assert [one.fields["question1"] for one in reading.examples] == ["How?"]
    assert reading.notices == (
        f"{root}/QQP/train.tsv: 2 lines of another number of columns were left out (lines 2, 3)",
    )


def test_both_sets_of_mnli_are_parts_of_the_validation_split(write: Write) -> None:
    task = TASKS["glue/mnli"]
    examples = read_glue(write(FILES["glue/mnli"]), task).examples

    assert [(one.id, one.split, task.part_of(one.id)) for one in examples] == [
        ("train-000001", "train", None),
        ("matched/validation-000001", "validation", "matched"),
        ("matched/validation-000002", "validation", "matched"),
        ("mismatched/validation-000001", "validation", "mismatched"),
        ("matched/test-000001", "test", "matched"),
        ("mismatched/test-000001", "test", "mismatched"),
    ]
    assert examples[0].fields == {"premise": "It rains.", "hypothesis": "It is wet."}


@pytest.mark.parametrize(
    ("task", "name", "text", "message"),
    [
        ("glue/cola", "CoLA/train.tsv", "gj04\t1\tThe dog.\n", r"train.tsv, line 1: 3 columns, 4 are wanted"),
        (
            "glue/cola",
            "CoLA/train.tsv",
            "a\t2\t\tThe dog.\n",
            r"line 1: label 2 is not one of task glue/cola",
        ),
        (
            "glue/sst2",
            "SST-2/dev.tsv",
            "sentence\tlabel\nfine\tgood\n",
            r"dev.tsv, line 2: label 'good' is not",
        ),
        (
            "glue/sst2",
            "SST-2/dev.tsv",
            "sentence\nfine\n",
            r"line 1: no column 'label' in the header \(sentence\)",
        ),
        (
            "glue/rte",
            "RTE/dev.tsv",
            "index\tpremise\n",
            r"no column 'sentence1' in the header \(index, premise\)",
        ),
        (
            "glue/stsb",
            "STS-B/dev.tsv",
            f"{STSB_HEADER}\tscore\n0\tm\tf\t2\t1\tn\tn\tA.\tB.\t5.1\n",
            r"line 2: label 5.1: task glue/stsb wants a number from 0.0 to 5.0",
        ),
        (
            "glue/stsb",
            "STS-B/dev.tsv",
            f"{STSB_HEADER}\tscore\n0\tm\tf\t2\t1\tn\tn\tA.\tB.\thigh\n",
            r"line 2: label 'high': task glue/stsb wants a number",
        ),
        ("glue/qnli", "QNLI/train.tsv", "", r"train.tsv is empty, at least one example is wanted"),
        ("glue/qnli", "QNLI/other.tsv", "x", r"QNLI has none of train.tsv, dev.tsv, test.tsv, .* --source"),
        ("glue/mrpc", "MRPC/train.tsv", f"{MRPC_HEADER}1\t1\t2\tA\0.\tB.\n", r"line 2: a NUL character"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_refused_in_one_line(
    write: Write, task: str, name: str, text: str, message: str
) -> None:
    with pytest.raises(SourceError, match=message) as refusal:
        read_glue(write({name: text}), TASKS[task])
    assert "\n" not in str(refusal.value)


def test_a_folder_that_is_none_is_named() -> None:
    with pytest.raises(
        SourceError, match=r"nowhere is no folder with train.tsv, dev.tsv, test.tsv, the files of"
    ):
        read_glue(Path("nowhere"), TASKS["glue/cola"])
