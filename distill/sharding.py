"""A student in parts, one a process (FSDP2): its weights whole where they are read, in parts where they rest.

Orthogonal weights are never cut: their retraction needs them whole, so each process holds and moves them as
the others do.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from distill.orthogonal import OrthogonalProjection
from distill.processes import Processes
from schemas.errors import ConfigError


def shard(module: nn.Module, device: torch.device, processes: Processes) -> None:
    """Cut a module's parameters, in place: each layer of it a group that is made whole when it is reached.

    Raises:
        ConfigError: the module has no list of layers.
    """
    layers = list(_layers(module))
    if not layers:
        raise ConfigError("--sharding full: the student has no list of layers to shard by; leave it out")
    mesh = init_device_mesh(device.type, (processes.count,))
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(module, mesh=mesh, ignored_params=set(_uncut(module)))


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """The elements of the outermost lists, which a transformer's layers are in."""
    for part in module.children():
        yield from part if isinstance(part, nn.ModuleList) else _layers(part)


def _uncut(module: nn.Module) -> list[nn.Parameter]:
    return [part.weight for part in module.modules() if isinstance(part, OrthogonalProjection)]


@contextmanager
def whole(module: nn.Module) -> Generator[None]:
    """Hold all weights of a module on every process, to answer with; collective where it is cut."""
    parts = [part for part in module.modules() if isinstance(part, FSDPModule)]
    if not isinstance(module, FSDPModule):
        yield
        return
    # Which part is the outermost is settled by the first forward, and texts are written without that one's.
    module._get_fsdp_state()._lazy_init()  # noqa: SLF001 - nothing public does it
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        # The next backward would fetch ahead by the order of these forwards, which processes that answered
        # for different numbers of batches do not share: each would wait for another collective.
        module.reset_iter_state()
        for part in parts:
            part.reshard()
            part.set_reshard_after_forward(part is not module, recurse=False)


def joined_tensors(tensors: Mapping[str, Tensor], *, keep: bool) -> dict[str, Tensor]:
    """Tensors made whole one at a time; collective.

    Args:
        tensors: cut or not, by name.
        keep: on this process; what was cut goes to the host.

    Returns:
        All of them whole, or nothing.
    """
    made = {}
    for name, value in tensors.items():
        one = value.full_tensor().cpu() if isinstance(value, DTensor) and keep else value
        if isinstance(value, DTensor) and not keep:
            value.full_tensor()
        if keep:
            made[name] = one
    return made


def joined_state(module: nn.Module, *, keep: bool) -> dict[str, Tensor] | None:
    """What a module's folder holds, tied weights once; collective where it is cut.

    Args:
        module: part of one that may be cut.
        keep: on this process.

    Returns:
        Parameters and buffers by name; None of a plain module, which can say so itself.
    """
    parameters = dict(module.named_parameters())
    if not any(isinstance(one, DTensor) for one in parameters.values()):
        return None
    every = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    buffers = {name: value for name, value in module.state_dict().items() if name not in every}
    return joined_tensors({**parameters, **buffers}, keep=keep)


def laid_out_as(live: Tensor, value: Tensor) -> Tensor:
    """A whole tensor as a live one lies: cut as it, or with its strides.

    The fused AdamW goes through memory, so moments must have their parameter's strides.
    """
    if value.shape != live.shape:
        return value
    if isinstance(live, DTensor):
        # Every process has read the whole, so nothing is sent.
        here = value.to(live.device, live.dtype)
        return distribute_tensor(here, live.device_mesh, live.placements, src_data_rank=None)
    return torch.empty_like(live, dtype=value.dtype).copy_(value)


def is_finite(tensor: Tensor) -> bool:
    """Whether all that this process holds of a tensor are numbers."""
    held = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return bool(held.detach().isfinite().all())


def average_uncut(module: nn.Module, processes: Processes) -> None:
    """Average over processes the gradients of what is not cut; collective."""
    for weight in _uncut(module):
        if weight.grad is not None:
            distributed.all_reduce(weight.grad)
            weight.grad /= processes.count


def clip(parameters: Iterable[nn.Parameter], most: float) -> None:
    """Scale gradients, cut and uncut, so that their common norm is at most so much; collective.

    torch.nn.utils.clip_grad_norm_ does not take the two kinds together.
    """
    having = [one for one in parameters if one.grad is not None]
    cut = [one for one in having if isinstance(one, DTensor)]
    uncut = [one for one in having if not isinstance(one, DTensor)]
    kinds = [some for some in (cut, uncut) if some]
    norms = [
        torch.nn.utils.get_total_norm([one.grad for one in some if one.grad is not None]) for some in kinds
    ]
    whole_norms = [one.full_tensor() if isinstance(one, DTensor) else one for one in norms]
    # A tensor, so that the host does not wait for it.
    total = torch.linalg.vector_norm(torch.stack(whole_norms))
    for some in kinds:
        torch.nn.utils.clip_grads_with_norm_(some, most, total)
