"""Weights of other programs: every name and its place, on dictionaries of the shapes they have."""

import pytest
import torch

from sparseclust.models import convert_state_dict, spice

STATISTICS = ("weight", "bias", "running_mean", "running_var")
# Where the documentation of the function leaves no choice: theirs, ours.
PLACES = {
    "encoder.input_layer.kernel": "encoder.stem.weight",
    "encoder.encoding_block.1.0.norm1.bn.weight": "encoder.levels.1.0.residual.0.0.rows.weight",
    "encoder.encoding_block.1.1.conv1.kernel": "encoder.levels.1.1.residual.1.weight",
    "encoder.encoding_block.0.1.norm2.bn.bias": "encoder.levels.0.1.residual.2.0.rows.bias",
    "encoder.encoding_block.0.0.conv2.kernel": "encoder.levels.0.0.residual.3.weight",
    "encoder.encoding_conv.1.0.bn.running_var": "encoder.downs.1.0.0.rows.running_var",
    "encoder.encoding_conv.1.2.kernel": "encoder.downs.1.1.weight",
    "embedding_decoder.decoding_conv.0.0.bn.running_mean": (
        "branches.embedding.decoder.acts.0.0.rows.running_mean"
    ),
    "seed_decoder.decoding_conv.1.2.kernel": "branches.seediness.decoder.ups.1.weight",
    "seed_decoder.decoding_block.0.0.residual.linear.weight": (
        "branches.seediness.decoder.levels.0.0.shortcut.rows.weight"
    ),
    "embedding_decoder.decoding_block.1.0.conv1.kernel": (
        "branches.embedding.decoder.levels.1.0.residual.1.weight"
    ),
    "outputEmbeddings.0.bn.num_batches_tracked": ("branches.embedding.decoder.last.rows.num_batches_tracked"),
    "outputSeediness.0.bn.weight": "branches.seediness.decoder.last.rows.weight",
    "outputSeediness.1.linear.weight": "branches.seediness.heads.seediness.linear.weight",
}


def state_of_2020(filters: int, depth: int, reps: int, ndim: int = 3, sigma: int = 1) -> dict:
    """What a SPICE network of lartpc_mlreco3d saves: its names and shapes, values at random."""
    state = {}

    def norm(name, n):
        state.update({f"{name}.bn.{key}": torch.rand(n) for key in STATISTICS})
        state[f"{name}.bn.num_batches_tracked"] = torch.tensor(7)

    def block(name, n_in, n_out):
        if n_in != n_out:
            state[f"{name}.residual.linear.weight"] = torch.rand(n_out, n_in)
        norm(f"{name}.norm1", n_in)
        state[f"{name}.conv1.kernel"] = torch.rand(3**ndim, n_in, n_out)
        norm(f"{name}.norm2", n_out)
        state[f"{name}.conv2.kernel"] = torch.rand(3**ndim, n_out, n_out)

    planes = [filters * (i + 1) for i in range(depth)]
    state["encoder.input_layer.kernel"] = torch.rand(3**ndim, 1 + ndim, filters)
    for i, n in enumerate(planes):
        for j in range(reps):
            block(f"encoder.encoding_block.{i}.{j}", n, n)
        if i + 1 < depth:
            norm(f"encoder.encoding_conv.{i}.0", n)
            state[f"encoder.encoding_conv.{i}.2.kernel"] = torch.rand(2**ndim, n, planes[i + 1])
    for decoder in ("embedding_decoder", "seed_decoder"):
        for i, n in enumerate(planes[-2::-1]):
            norm(f"{decoder}.decoding_conv.{i}.0", n + filters)
            state[f"{decoder}.decoding_conv.{i}.2.kernel"] = torch.rand(2**ndim, n + filters, n)
            for j in range(reps):
                block(f"{decoder}.decoding_block.{i}.{j}", 2 * n if j == 0 else n, n)
    for output, rows in (("outputEmbeddings", ndim + sigma), ("outputSeediness", 1)):
        norm(f"{output}.0", filters)
        state[f"{output}.1.linear.weight"] = torch.rand(rows, filters)
    return state


@pytest.mark.parametrize(("ndim", "sigma"), [(3, 1), (2, 2)])
def test_a_whole_network_is_loaded_and_every_value_once(ndim, sigma):
    theirs = state_of_2020(4, 3, 2, ndim, sigma)
    ours = convert_state_dict(theirs, source="lartpc_mlreco3d", ndim=ndim)
    net = spice(1 + ndim, base_channels=4, depth=3, reps=2, margin_dim=sigma, ndim=ndim)
    net.load_state_dict(ours)
    given, taken = (
        torch.cat([v.double().flatten() for name, v in state.items() if not name.endswith("linear.bias")])
        for state in (theirs, ours)
    )
    assert torch.equal(given.sort().values, taken.sort().values)
    assert not any(values.any() for name, values in ours.items() if name.endswith("linear.bias"))


def test_every_kind_of_layer_has_its_place():
    theirs = state_of_2020(4, 3, 2)
    ours = convert_state_dict(theirs, source="lartpc_mlreco3d")
    for their_name, our_name in PLACES.items():
        assert torch.equal(ours[our_name].sort(0).values, theirs[their_name].sort(0).values), their_name
    joint = theirs["outputEmbeddings.1.linear.weight"]
    heads = (ours[f"branches.embedding.heads.{name}.linear.weight"] for name in ("embeddings", "margins"))
    assert torch.equal(torch.cat(list(heads)), joint)


def test_offsets_count_the_last_axis_fastest():
    kernel = torch.arange(27.0).reshape(27, 1, 1)
    ours = convert_state_dict({"encoder.input_layer.kernel": kernel}, source="spine")["encoder.stem.weight"]
    offsets = [(x, y, z) for x in range(3) for y in range(3) for z in range(3)]
    assert ours.flatten().tolist() == [x + 3 * y + 9 * z for x, y, z in offsets]


def test_spine_differs_in_three_names():
    theirs = state_of_2020(4, 2, 1)
    names = {
        "seed_decoder": "seediness_decoder",
        "outputEmbeddings": "embedding_output",
        "outputSeediness": "seediness_output",
    }
    spine = {}
    for name, values in theirs.items():
        part, _, rest = name.partition(".")
        spine[f"module.{names.get(part, part)}.{rest}"] = values
    spine["other.weight"] = torch.zeros(1)
    ours = convert_state_dict(theirs, source="lartpc_mlreco3d")
    again = convert_state_dict(spine, source="spine", prefix="module.")
    assert ours.keys() == again.keys()
    assert all(torch.equal(ours[name], again[name]) for name in ours)


def test_another_network_is_refused():
    state = state_of_2020(4, 2, 1)
    with pytest.raises(ValueError, match="source must be one of"):
        convert_state_dict(state, source="scn")
    with pytest.raises(ValueError, match=r"no name begins with 'net\.'; the first one is 'encoder\."):
        convert_state_dict(state, source="lartpc_mlreco3d", prefix="net.")
    biased = state | {"encoder.input_layer.bias": torch.zeros(1, 4)}
    with pytest.raises(ValueError, match=r"1 names are none of .* 'encoder\.input_layer\.bias'"):
        convert_state_dict(biased, source="lartpc_mlreco3d")
    with pytest.raises(ValueError, match=r"'outputSeediness\.0\.bn\.weight'"):
        convert_state_dict({"outputSeediness.0.bn.weight": torch.ones(4)}, source="spine")
