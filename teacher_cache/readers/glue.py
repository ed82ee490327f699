"""GLUE as its publisher ships it: a folder a task, tab-separated files in which quotes mean nothing.

What is odd about them: CoLA's training and development files have four columns and no header; MRPC may
still be Microsoft's two files, whose development rows are those of `dev_ids.tsv`; some lines of QQP are
broken in two by a line end inside a question; test files have no labels.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from schemas.errors import SourceError
from schemas.tasks import TaskSpec
from teacher_cache.readers.gathering import Gathering
from teacher_cache.readers.labels import RawLabel, label_of_text
from teacher_cache.readers.lines import read_lines
from teacher_cache.readers.media_items import MediaReader
from teacher_cache.readers.prompt_row import PromptRow
from teacher_cache.readers.reading import Reading, joined
from teacher_cache.readers.split_files import SplitFile, files_in, own_folder

_FILES = (
    SplitFile("train", ("train.tsv",)),
    SplitFile("validation", ("dev.tsv",)),
    SplitFile("test", ("test.tsv",)),
)
_MNLI_FILES = (
    SplitFile("train", ("train.tsv",)),
    SplitFile("validation", ("dev_matched.tsv",), "matched"),
    SplitFile("validation", ("dev_mismatched.tsv",), "mismatched"),
    SplitFile("test", ("test_matched.tsv",), "matched"),
    SplitFile("test", ("test_mismatched.tsv",), "mismatched"),
)
_MSR_TRAIN, _MSR_TEST, _DEV_IDS = "msr_paraphrase_train.txt", "msr_paraphrase_test.txt", "dev_ids.tsv"
_MSR_FILES = (SplitFile("train", (_MSR_TRAIN,)), SplitFile("test", (_MSR_TEST,)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """How one task lies in its files.

    Attributes:
        folder: that GLUE's archive has for it.
        columns: the column of each field.
        label: column of the label.
        unnamed: names of the columns of a file without a header.
        files: that may be there.
        unlabelled: what stands for no label.
        breaks: whether lines may be broken, which are left out and counted.
    """

    folder: str
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    label: str = "label"
    unnamed: tuple[str, ...] = ()
    files: tuple[SplitFile, ...] = _FILES
    unlabelled: str = ""
    breaks: bool = False


_LAYOUTS = {
    "glue/cola": _Layout(folder="CoLA", unnamed=("source", "label", "mark", "sentence")),
    "glue/sst2": _Layout(folder="SST-2"),
    "glue/mrpc": _Layout(
        folder="MRPC", columns={"sentence1": "#1 String", "sentence2": "#2 String"}, label="Quality"
    ),
    "glue/stsb": _Layout(folder="STS-B", label="score"),
    "glue/qqp": _Layout(folder="QQP", label="is_duplicate", breaks=True),
    "glue/mnli": _Layout(
        folder="MNLI",
        columns={"premise": "sentence1", "hypothesis": "sentence2"},
        label="gold_label",
        files=_MNLI_FILES,
        unlabelled="-",
    ),
    "glue/qnli": _Layout(folder="QNLI"),
    "glue/rte": _Layout(folder="RTE"),
}


def read_glue(source: Path, task: TaskSpec) -> Reading:
    """Read the files of one task.

    Args:
        source: GLUE's folder, or the task's own in it.
        task: one of GLUE.

    Raises:
        SourceError: there are none, or a line is not as it should be.
    """
    layout = _LAYOUTS[task.name]
    folder = own_folder(source, layout.folder)
    if layout.folder == "MRPC" and (folder / _MSR_TRAIN).is_file() and not (folder / "train.tsv").is_file():
        return _read_msr(folder, layout, task)
    files = files_in(folder, layout.files, task)
    return joined(task, [_File(path, file, layout, task).read() for path, file in files], folder)


def _read_msr(folder: Path, layout: _Layout, task: TaskSpec) -> Reading:
    """Microsoft's own files, divided as GLUE divides them."""
    development = _development_ids(folder / _DEV_IDS)
    files = files_in(folder, _MSR_FILES, task)
    return joined(task, [_File(path, file, layout, task, development).read() for path, file in files], folder)


def _development_ids(path: Path) -> frozenset[tuple[str, str]]:
    if not path.is_file():
        raise SourceError(
            f"{path} is not there, which says which rows of {_MSR_TRAIN} are the development set; put GLUE's "
            "list of pairs of ids there, or give train.tsv and dev.tsv"
        )
    pairs: set[tuple[str, str]] = set()
    for number, text in read_lines(path):
        cells = text.split("\t")
        if len(cells) != 2:
            raise SourceError(f"{path}, line {number}: {len(cells)} columns, 2 ids are wanted; mend the line")
        pairs.add((cells[0], cells[1]))
    return frozenset(pairs)


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    file: SplitFile
    layout: _Layout
    task: TaskSpec
    development: frozenset[tuple[str, str]] = frozenset()

    def read(self) -> Reading:
        gathering = Gathering(path=self.path, task_name=self.task.name, media=MediaReader(None))
        names: Sequence[str] | None = None
        broken: list[int] = []
        for number, cells in self._lines():
            if names is None:
                names, is_header = self._names(number, cells)
                if is_header:
                    continue
            if len(cells) == len(names):
                gathering.add(f"line {number}", self._row(gathering, dict(zip(names, cells, strict=True))))
            elif self.layout.breaks:
                broken.append(number)
            else:
                raise SourceError(
                    f"{self.path}, line {number}: {len(cells)} columns, {len(names)} are wanted "
                    f"({', '.join(names)}); mend the line"
                )
        return gathering.done(*_notice(self.path, broken))

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        return ((number, text.split("\t")) for number, text in read_lines(self.path) if text.strip())

    def _names(self, number: int, cells: Sequence[str]) -> tuple[Sequence[str], bool]:
        """The names of the columns, and whether the first line is a header."""
        wanted = [self.layout.columns.get(name, name) for name in self.task.fields]
        if self.layout.unnamed and not set(wanted) <= set(cells):
            return self.layout.unnamed, False
        if self.file.split != "test":
            wanted.append(self.layout.label)
        if lacking := [name for name in wanted if name not in cells]:
            raise SourceError(
                f"{self.path}, line {number}: no column {lacking[0]!r} in the header "
                f"({', '.join(cells)[:200]}), which {self.task.name} wants; give GLUE's own file"
            )
        return cells, True

    def _row(self, gathering: Gathering, cells: Mapping[str, str]) -> PromptRow:
        file = self.file
        if (
            self.development
            and file.split == "train"
            and (cells["#1 ID"], cells["#2 ID"]) in self.development
        ):
            file = SplitFile("validation", ())
        return PromptRow(
            example_id=file.row_id(gathering.num_rows + 1),
            split=file.split,
            fields={name: cells[self.layout.columns.get(name, name)] for name in self.task.fields},
            label=self._label(cells.get(self.layout.label)),
        )

    def _label(self, cell: str | None) -> RawLabel:
        if cell is None or (self.layout.unlabelled and cell == self.layout.unlabelled):
            return None
        return label_of_text(cell, self.task)


def _notice(path: Path, broken: Sequence[int]) -> list[str]:
    if not broken:
        return []
    lines = ", ".join(map(str, broken[:5])) + (", ..." if len(broken) > 5 else "")
    return [f"{path}: {len(broken)} lines of another number of columns were left out (lines {lines})"]
