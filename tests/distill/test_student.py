import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from distill.orthogonal import OrthogonalProjection
from distill.pooling import ENCODERS
from distill.pretrained import load_backbone
from distill.student import Student
from distill.weights import digest_of_student, is_hub_name
from schemas.errors import StudentError
from schemas.tasks import find_task

TASK = find_task("movie-sentiment")
TOKENS = {
    "input_ids": torch.tensor([[2, 7, 8, 3], [2, 9, 3, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]),
}


@pytest.fixture(scope="module", params=list(ENCODERS))
def folder(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    make_tiny: Callable[[Path, str], Path],
) -> Path:
    return make_tiny(tmp_path_factory.mktemp(request.param), request.param)


def test_output_head_is_the_plain_classifiers(folder: Path) -> None:
    torch.manual_seed(0)
    backbone = load_backbone(str(folder), TASK)
    student = Student(backbone, manifold_dim=12).eval()
    with torch.no_grad():
        assert torch.equal(student(**TOKENS).logits_BC, backbone.eval()(**TOKENS).logits)


def test_undistilled_has_nothing_beside_the_backbone(folder: Path) -> None:
    backbone = load_backbone(str(folder), TASK)
    student = Student(backbone)
    view = student(**TOKENS)
    assert view.aux_logits_BC is None
    assert view.latent_BP is None
    assert sum(p.numel() for p in student.parameters()) == sum(p.numel() for p in backbone.parameters())


def test_projection_is_plain_and_without_bias(folder: Path) -> None:
    torch.manual_seed(0)
    student = Student(load_backbone(str(folder), TASK), manifold_dim=4096)
    assert student.projection is not None
    assert student.projection.bias is None
    assert student.projection.weight.std().item() == pytest.approx(0.02, rel=0.02)
    view = student(**TOKENS)
    assert view.latent_BP is not None
    assert view.latent_BP.shape == (2, 4096)


def test_paper_keeps_the_students_projection_orthogonal(folder: Path) -> None:
    student = Student(load_backbone(str(folder), TASK), 24, "paper").eval()
    assert isinstance(student.projection, OrthogonalProjection)
    view, pooled = student(**TOKENS), student.pooling.pooled(student.plain, TOKENS)
    assert torch.allclose(view.latent_BP @ view.latent_BP.T, pooled @ pooled.T, atol=1e-5)
    assert view.aux_logits_BC is not None


def test_beside_an_aligner_without_projection_the_student_has_a_plain_map_alone(folder: Path) -> None:
    student = Student(load_backbone(str(folder), TASK), 24, "capacity-matched")
    assert isinstance(student.projection, torch.nn.Linear)
    view = student(**TOKENS)
    assert view.aux_logits_BC is None
    assert view.latent_BP is not None


def test_outputs_are_named_by_the_task(tiny_student: Path) -> None:
    config = load_backbone(str(tiny_student), TASK).config
    assert config.id2label == {0: "negative", 1: "positive"}
    assert config.problem_type == "single_label_classification"


def test_a_head_for_another_task_is_drawn_anew(tiny_student: Path) -> None:
    rating = load_backbone(str(tiny_student), find_task("movie-rating"))
    assert rating.config.num_labels == rating.classifier.out_features == 1
    plain = load_backbone(str(tiny_student), TASK)
    assert torch.equal(rating.bert.pooler.dense.weight, plain.bert.pooler.dense.weight)


def test_weights_that_are_not_those_of_the_configuration_are_refused(
    tmp_path: Path, tiny_student: Path
) -> None:
    for file in tiny_student.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))
    with pytest.raises(StudentError, match=r"intermediate.* has not the size that config\.json says"):
        load_backbone(str(tmp_path), TASK)


def test_one_seed_gives_one_head(tiny_student: Path) -> None:
    heads = []
    for _ in range(2):
        torch.manual_seed(5)
        heads.append(load_backbone(str(tiny_student), TASK).classifier.weight)
    assert torch.equal(*heads)


def test_a_folder_that_is_no_student_is_named(tmp_path: Path, tiny_student: Path) -> None:
    with pytest.raises(StudentError, match="nowhere: no such folder"):
        digest_of_student(str(tmp_path / "nowhere"))
    with pytest.raises(StudentError, match=r"no config.json in it"):
        digest_of_student(str(tmp_path))
    for name in ("tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_bytes((tiny_student / name).read_bytes())
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(StudentError, match=r"config\.json names no model_type"):
        digest_of_student(str(tmp_path))
    (tmp_path / "config.json").write_text("not JSON")
    with pytest.raises(StudentError, match=r"config\.json is no JSON object"):
        digest_of_student(str(tmp_path))


def test_weights_cut_short_are_one_line(tmp_path: Path, tiny_student: Path) -> None:
    for file in tiny_student.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes((tiny_student / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(StudentError, match="cannot be loaded") as error:
        load_backbone(str(tmp_path), TASK)
    assert "\n" not in str(error.value)


def test_digest_follows_the_weights_not_the_place(tmp_path: Path, tiny_student: Path) -> None:
    for file in tiny_student.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert digest_of_student(str(tmp_path)) == digest_of_student(str(tiny_student))
    changed = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    torch.nn.init.zeros_(changed.classifier.weight)
    changed.save_pretrained(tmp_path)
    assert digest_of_student(str(tmp_path)) != digest_of_student(str(tiny_student))


def test_a_hub_name_is_an_owner_and_a_name_that_is_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_hub_name("google/bert")
    assert not is_hub_name("data/models/minilm")
    (tmp_path / "google").mkdir()
    assert not is_hub_name("google/bert")
