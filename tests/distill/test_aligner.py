import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from distill.aligner import AlignerDims, TSAligner, dims_of
from distill.config import resolve
from distill.readings import READINGS
from schemas.errors import ConfigError

PAPER_SIZES = AlignerDims(teacher=1024, hidden=768, manifold=1024, outputs=2)


def test_reference_has_the_parameters_of_the_authors_code() -> None:
    aligner = TSAligner(PAPER_SIZES)
    assert sum(part.numel() for part in aligner.parameters() if part.requires_grad) == 2_429_956


def test_shapes() -> None:
    view = TSAligner(AlignerDims(teacher=12, hidden=8, manifold=20, outputs=3))(torch.randn(5, 12))
    assert view.logits_BC.shape == (5, 3)
    assert view.aux_logits_BC is not None
    assert view.aux_logits_BC.shape == (5, 3)
    assert view.latent_BP is not None
    assert view.latent_BP.shape == (5, 20)


def test_reference_projects_the_raw_representation_without_dropout() -> None:
    torch.manual_seed(0)
    aligner, values = (
        TSAligner(AlignerDims(teacher=12, hidden=8, manifold=12, outputs=2)).train(),
        torch.randn(5, 12),
    )
    latent = aligner(values).latent_BP
    assert torch.equal(latent, aligner(values).latent_BP)
    assert torch.allclose(latent @ latent.T, values @ values.T, atol=1e-5)


def test_initial_weights() -> None:
    torch.manual_seed(0)
    aligner = TSAligner(PAPER_SIZES)
    for name, part in aligner.named_parameters():
        if name.endswith("bias"):
            assert part.abs().max() == 0
        elif "projection" not in name and part.numel() > 10_000:
            assert abs(part.std().item() - 0.02) < 1e-3


def num_parameters(module: nn.Module) -> int:
    return sum(part.numel() for part in module.parameters())


def dims(aligner: str, **given: int) -> AlignerDims:
    options = {"task": "movie-sentiment", "student": "somewhere", "aligner": aligner, **given}
    distillation = resolve(options, "image").distillation
    assert distillation is not None
    return dims_of(distillation, teacher=1024, outputs=2)


def test_paper_has_the_size_that_the_text_gives_for_encoder_and_head() -> None:
    assert dims("paper") == AlignerDims(teacher=1024, hidden=512, manifold=768, outputs=2)
    aligner = TSAligner(dims("paper"), "paper")
    size = num_parameters(aligner.encoder) + num_parameters(aligner.output_head)
    assert size == 1024 * 512 + 512 + 512 * 512 + 512 + 512 * 2 + 2 == 788_482
    assert num_parameters(aligner) == size + 512 * 768 + 768 * 2 + 2


def test_paper_projects_what_the_encoder_made() -> None:
    torch.manual_seed(0)
    aligner, values = TSAligner(dims("paper", hidden_dim=32), "paper").eval(), torch.randn(5, 1024)
    view = aligner(values)
    hidden = aligner.encoder(values)
    assert torch.allclose(view.latent_BP, aligner.projection(hidden))
    assert torch.allclose(view.logits_BC, aligner.output_head(hidden))
    assert torch.allclose(view.aux_logits_BC, aligner.aux_head(view.latent_BP))


def test_widths_can_be_set() -> None:
    assert dims("paper", hidden_dim=64, manifold_dim=128) == AlignerDims(
        teacher=1024, hidden=64, manifold=128, outputs=2
    )
    assert dims("reference") == PAPER_SIZES
    assert dims("capacity-matched", hidden_dim=64).manifold == 64


def test_capacity_matched_on_a_very_wide_representation_is_refused_in_one_line() -> None:
    wide = AlignerDims(teacher=262_144, hidden=768, manifold=768, outputs=2)
    with pytest.raises(
        ConfigError, match=r"262144 values .* 116360 layers .* at most 64; raise --hidden-dim"
    ):
        TSAligner(wide, "capacity-matched")


def test_capacity_matched_is_deeper_without_projection_and_auxiliary_head() -> None:
    aligner = TSAligner(dims("capacity-matched"), "capacity-matched")
    assert len(aligner.encoder) == 4
    assert num_parameters(aligner) == 1024 * 768 + 768 + 3 * (768 * 768 + 768) + 768 * 2 + 2 == 2_560_514
    assert aligner.projection is None
    view = aligner.eval()(torch.randn(3, 1024))
    assert view.aux_logits_BC is None
    assert view.latent_BP.shape == (3, 768)


@given(teacher=st.integers(1, 40), hidden=st.integers(8, 40), outputs=st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_capacity_matched_has_no_layer_more_than_the_reference_size_asks_for(
    teacher: int, hidden: int, outputs: int
) -> None:
    full = AlignerDims(teacher=teacher, hidden=hidden, manifold=teacher, outputs=outputs)
    matched = AlignerDims(teacher=teacher, hidden=hidden, manifold=hidden, outputs=outputs)
    wanted, size = num_parameters(TSAligner(full)), num_parameters(TSAligner(matched, "capacity-matched"))
    assert size - (hidden * hidden + hidden) < wanted <= size


@pytest.mark.parametrize("reading", READINGS)
def test_every_reading_answers_with_the_task_and_the_manifold(reading: str) -> None:
    sizes = dims(reading, hidden_dim=256)
    view = TSAligner(sizes, reading)(torch.randn(4, 1024))
    assert view.logits_BC.shape == (4, 2)
    assert view.latent_BP.shape == (4, sizes.manifold)
