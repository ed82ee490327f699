"""The student of a generative task: a plain causal model of transformers, with more heads while it distils.

Letters: B batch, T tokens, N answer tokens, D width of the student, R width of the representation, P
manifold, V vocabulary.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distill.aligner import AlignerDims, head, initialise
from distill.losses.head_pass import dtype_of_products
from distill.pooling import ENCODERS, plain_of
from distill.pretrained import plain_errors, quiet
from distill.readings import READINGS
from distill.student import projection_of
from distill.view import TokenView, View
from distill.weights import is_hub_name
from schemas.errors import StudentError
from schemas.tokenizer import TOKENIZER_NAME

_KNOWN_CHANGES = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")
_TOLERANCE = 1e-3


class Writer(nn.Module):
    """A causal model that answers with a View: of tokens and, beside an aligner, of the representation.

    Args:
        backbone: a plain `AutoModelForCausalLM`; all that is kept after training.
        dims: of the aligner beside it; None gives a student without heads of its own.
        reading: row of READINGS, of that aligner.
        auxiliary: with an auxiliary head on the projection, where the reading has one.

    Source: arXiv 2603.10877, section 4, generative tasks; the heads are our reading, docs/decisions/0016.
    """

    def __init__(
        self,
        backbone: Any,
        dims: AlignerDims | None = None,
        reading: str = "reference",
        *,
        auxiliary: bool = True,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.output_head = self.projection = self.aux_head = None
        if dims is None:
            return
        row, width = READINGS[reading], self.plain.get_output_embeddings().weight.shape[1]
        self.output_head = head(width, dims.outputs, row.head_dropout).apply(initialise)
        self.projection = projection_of(width, dims.manifold, orthogonal=row.orthogonal_student)
        if auxiliary and row.projected != "nothing":
            self.aux_head = head(dims.manifold, dims.outputs, row.head_dropout).apply(initialise)

    @property
    def plain(self) -> Any:
        """The model of transformers, also inside an adapter."""
        return plain_of(self.backbone)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        before_N: Tensor,
        targets_N: Tensor,
        prompt_ends_B: Tensor,
    ) -> View:
        """Answer for a batch.

        Args:
            input_ids: prompts and answers, (B, T).
            attention_mask: 0 where padded, (B, T).
            before_N: places in B x T of the token before each answer token.
            targets_N: the answer tokens.
            prompt_ends_B: places in B x T of each prompt's last token.
        """
        states = self.plain.base_model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
        hidden_BTD = states.last_hidden_state.flatten(0, 1)
        lm_head, said_ND = self.plain.get_output_embeddings(), hidden_BTD[before_N]
        # The losses multiply them by the head outside of this forward, and so outside of its autocast.
        said_ND = said_ND.to(dtype_of_products(said_ND))
        tokens = TokenView(said_ND, lm_head.weight, targets_N, getattr(lm_head, "bias", None))
        if self.output_head is None or self.projection is None:
            return View(tokens=tokens)
        pooled_BD = hidden_BTD[prompt_ends_B]
        latent_BP = self.projection(pooled_BD)
        aux_BR = None if self.aux_head is None else self.aux_head(latent_BP)
        return View(self.output_head(pooled_BD), aux_BR, latent_BP, tokens)


def load_writer(student: str) -> Any:
    """A plain causal model in float32, with its own language-modelling head.

    Args:
        student: a folder, or a hub name.

    Raises:
        StudentError: it cannot be loaded, has no such head, or one that changes its logits.
    """
    from transformers import AutoModelForCausalLM

    kind: Any = AutoModelForCausalLM
    with plain_errors(student), quiet():
        backbone, report = kind.from_pretrained(
            student,
            local_files_only=not is_hub_name(student),
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    if (name := backbone.config.model_type) in ENCODERS:
        raise StudentError(
            f"--student {student}: a {name} reads both ways, so it writes no texts; give a causal model, "
            "such as data/models/smollm2-135m-instruct (make data)"
        )
    if missing := sorted(report["missing_keys"]):
        raise StudentError(
            f"--student {student}: no weights of {missing[0]} in it, so it writes no texts; give a causal "
            "model, such as data/models/smollm2-135m-instruct (make data)"
        )
    _check_head(student, backbone)
    return backbone


def tokenizer_file(student: str) -> Path:
    """The file that a student's token ids have their meaning from; a hub's is in its local cache by now.

    Raises:
        StudentError: the hub's has none.
    """
    if not is_hub_name(student):
        return Path(student)
    from huggingface_hub import hf_hub_download

    with plain_errors(student):
        return Path(hf_hub_download(student, TOKENIZER_NAME))


@torch.no_grad()
def _check_head(student: str, backbone: Any) -> None:
    """Refuse a head that scales or caps its logits, which losses on tokens do not know (decision 0011)."""
    # Several, since the embedding of a padding token is nothing, and so are its logits.
    ids = torch.arange(min(8, len(_weights(backbone)[0])))[None]
    backbone.eval()
    hidden = backbone.base_model(input_ids=ids, use_cache=False).last_hidden_state
    wanted = nn.functional.linear(hidden, *_weights(backbone))
    found = backbone(input_ids=ids, use_cache=False).logits
    if (found - wanted).abs().max() <= _TOLERANCE * wanted.abs().max():
        return
    settings = {name: getattr(backbone.config, name, None) for name in _KNOWN_CHANGES}
    named = ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)
    raise StudentError(
        f"--student {student}: its head changes logits after the product ({named or 'unnamed'}), "
        "which losses on tokens do not know; choose a student of another family, such as llama, qwen2, opt"
    )


def _weights(backbone: Any) -> tuple[Tensor, Tensor | None]:
    lm_head = backbone.get_output_embeddings()
    return lm_head.weight, getattr(lm_head, "bias", None)
