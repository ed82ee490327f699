import torch

from distill.aligner import AlignerDims, TSAligner

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
