"""Weights of other programs under our names."""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Literal, get_args

import torch
from torch import Tensor

Source = Literal["lartpc_mlreco3d", "spine"]

_EMBEDDING, _SEEDINESS = "branches.embedding", "branches.seediness"
_HALVES: Mapping[Source, Mapping[str, str]] = MappingProxyType(
    {
        "lartpc_mlreco3d": {
            "encoder": "encoder",
            "embedding_decoder": f"{_EMBEDDING}.decoder",
            "seed_decoder": f"{_SEEDINESS}.decoder",
        },
        "spine": {
            "encoder": "encoder",
            "embedding_decoder": f"{_EMBEDDING}.decoder",
            "seediness_decoder": f"{_SEEDINESS}.decoder",
        },
    }
)
_OUTPUTS: Mapping[Source, tuple[str, str]] = MappingProxyType(
    {
        "lartpc_mlreco3d": ("outputEmbeddings", "outputSeediness"),
        "spine": ("embedding_output", "seediness_output"),
    }
)
# Inside an encoder or a decoder.
_LAYERS = tuple(
    (re.compile(theirs), ours)
    for theirs, ours in (
        (r"input_layer\.kernel", r"stem.weight"),
        (r"..coding_block\.(\d+)\.(\d+)\.residual\.linear\.weight", r"levels.\1.\2.shortcut.rows.weight"),
        (r"..coding_block\.(\d+)\.(\d+)\.norm1\.bn\.(\w+)", r"levels.\1.\2.residual.0.0.rows.\3"),
        (r"..coding_block\.(\d+)\.(\d+)\.conv1\.kernel", r"levels.\1.\2.residual.1.weight"),
        (r"..coding_block\.(\d+)\.(\d+)\.norm2\.bn\.(\w+)", r"levels.\1.\2.residual.2.0.rows.\3"),
        (r"..coding_block\.(\d+)\.(\d+)\.conv2\.kernel", r"levels.\1.\2.residual.3.weight"),
        (r"encoding_conv\.(\d+)\.0\.bn\.(\w+)", r"downs.\1.0.0.rows.\2"),
        (r"encoding_conv\.(\d+)\.2\.kernel", r"downs.\1.1.weight"),
        (r"decoding_conv\.(\d+)\.0\.bn\.(\w+)", r"acts.\1.0.rows.\2"),
        (r"decoding_conv\.(\d+)\.2\.kernel", r"ups.\1.weight"),
    )
)


def convert_state_dict(
    state: Mapping[str, Tensor], *, source: Source, prefix: str = "", ndim: int = 3
) -> dict[str, Tensor]:
    """Rename and reorder the weights of another program's SPICE for :func:`sparseclust.models.spice`.

    Parameters
    ----------
    state : mapping of str to Tensor
        Its parameters and running statistics; of a checkpoint, what it calls ``state_dict``.
    source : {"lartpc_mlreco3d", "spine"}
        Whose names they have.
    prefix : str
        What all names of the network begin with, for example ``"module."``; others are left out.
    ndim : int
        Number of spatial axes.

    Returns
    -------
    dict of str to Tensor
        For ``load_state_dict`` of ``spice(4, base_channels=filters, depth=depth, reps=reps,
        margin_dim=sigma_dim, norm="batch" or "none", ndim=ndim)``, complete.

    Raises
    ------
    ValueError
        If the source is unknown, nothing begins with the prefix, or a name is none of those below: the
        network is another one, or its convolutions have biases.

    Notes
    -----
    Their names; ``i`` counts levels, ``j`` the blocks of one, ``*`` is weight, bias or a running statistic::

        encoder.input_layer.kernel
        encoder.encoding_block.i.j.{norm1.bn.*, conv1.kernel, norm2.bn.*, conv2.kernel}
        encoder.encoding_conv.i.{0.bn.*, 2.kernel}
        D.decoding_conv.i.{0.bn.*, 2.kernel}
        D.decoding_block.i.j.{residual.linear.weight, norm1.bn.*, conv1.kernel, norm2.bn.*, conv2.kernel}
        E.0.bn.*, E.1.linear.weight, S.0.bn.*, S.1.linear.weight

    In lartpc_mlreco3d the decoders ``D`` are ``embedding_decoder`` and ``seed_decoder``, ``E`` and ``S``
    ``outputEmbeddings`` and ``outputSeediness``; in SPINE ``seediness_decoder``, ``embedding_output`` and
    ``seediness_output``. Their kernels (volume, in, out) count offsets with the first axis fastest, ours with
    the last; embeddings and margins come from one matrix, here from two; their heads have no biases, so ours
    become 0.

    Their input columns are x, y, z as ``2 c / spatial_size - 1``, then the value as it is: make these, not
    :class:`sparseclust.data.VoxelInputs`. As they put a voxel's corner at its coordinate and we its centre,
    our embeddings are theirs plus ``1 / spatial_size``, which changes no cluster. Their LeakyReLU has the
    slope 0.01, ours too; set it to 0 for a network with ReLU.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.models import convert_state_dict
    >>> theirs = {"module.outputSeediness.1.linear.weight": torch.ones(1, 8)}
    >>> sorted(convert_state_dict(theirs, source="lartpc_mlreco3d", prefix="module."))
    ['branches.seediness.heads.seediness.linear.bias', 'branches.seediness.heads.seediness.linear.weight']
    """
    if source not in get_args(Source):
        raise ValueError(f"source must be one of {get_args(Source)}, got {source!r}")
    named = {name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)}
    if not named:
        raise ValueError(f"no name begins with {prefix!r}; the first one is {next(iter(state), None)!r}")
    converted: dict[str, Tensor] = {}
    unknown = []
    for name, values in named.items():
        ours = dict(_renamed(name, values, source, ndim))
        converted |= ours
        unknown += [] if ours else [name]
    if unknown:
        raise ValueError(
            f"{len(unknown)} names are none of a SPICE network of {source}, the first is {unknown[0]!r}; "
            "give what all its names begin with as prefix=, and leave other networks out"
        )
    return converted


def _renamed(name: str, values: Tensor, source: Source, ndim: int) -> Iterator[tuple[str, Tensor]]:
    """Our names and values of one of theirs; none if it is unknown."""
    part, _, rest = name.partition(".")
    if part in _HALVES[source]:
        for theirs, ours in _LAYERS:
            if theirs.fullmatch(rest):
                values = _last_axis_fastest(values, ndim) if rest.endswith("kernel") else values
                yield f"{_HALVES[source][part]}.{theirs.sub(ours, rest)}", values
    elif part in _OUTPUTS[source]:
        branch = (_EMBEDDING, _SEEDINESS)[_OUTPUTS[source].index(part)]
        if rest.startswith("0.bn."):
            yield f"{branch}.decoder.last.rows.{rest.removeprefix('0.bn.')}", values
        elif rest == "1.linear.weight":
            heads = {"seediness": values}
            if branch == _EMBEDDING:
                heads = {"embeddings": values[:ndim], "margins": values[ndim:]}
            for head, rows in heads.items():
                yield f"{branch}.heads.{head}.linear.weight", rows
                yield f"{branch}.heads.{head}.linear.bias", torch.zeros_like(rows[:, 0])


def _last_axis_fastest(kernel: Tensor, ndim: int) -> Tensor:
    """Reorder the offsets of a kernel (volume, in, out), which count the first axis fastest."""
    volume, *channels = kernel.shape
    edge = round(volume ** (1 / ndim))
    axes = [*reversed(range(ndim)), ndim, ndim + 1]
    return kernel.reshape(*[edge] * ndim, *channels).permute(axes).reshape(kernel.shape)
