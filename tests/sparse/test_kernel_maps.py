"""Kernel maps hold exactly the pairs that their definition names, on every engine."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sparseclust.sparse import (
    KernelMap,
    available_engines,
    generative_map,
    strided_map,
    submanifold_map,
    use_engine,
)

ENGINES = sorted(name for name, state in available_engines().items() if state == "ok")


def literal_pairs(
    inputs: Tensor, outputs: Tensor, offsets: list[tuple[int, ...]], stride: tuple[int, ...]
) -> set[tuple[int, ...]]:
    """All (i, o, k) with inputs[i] == stride * outputs[o] + offsets[k] in one event."""
    row = {tuple(voxel): i for i, voxel in enumerate(inputs.tolist())}
    pairs = set()
    for o, (event, *cell) in enumerate(outputs.tolist()):
        for k, offset in enumerate(offsets):
            i = row.get((event, *(s * c + d for s, c, d in zip(stride, cell, offset))))
            if i is not None:
                pairs.add((i, o, k))
    return pairs


def listed_pairs(kernel_map: KernelMap) -> list[tuple[int, ...]]:
    k = torch.repeat_interleave(torch.arange(kernel_map.volume), kernel_map.splits.diff())
    return list(zip(kernel_map.source.tolist(), kernel_map.target.tolist(), k.tolist()))


def check(
    kernel_map: KernelMap,
    inputs: Tensor,
    outputs: Tensor,
    offsets: list[tuple[int, ...]],
    stride: int | tuple[int, ...],
) -> None:
    listed = listed_pairs(kernel_map)
    stride = stride if isinstance(stride, tuple) else (stride,) * (inputs.shape[1] - 1)
    assert len(listed) == len(set(listed))
    assert set(listed) == literal_pairs(inputs, outputs, offsets, stride)
    assert (kernel_map.n_source, kernel_map.n_target) == (len(inputs), len(outputs))
    assert kernel_map.offsets.tolist() == [list(offset) for offset in offsets]
    assert kernel_map.stride == stride
    assert kernel_map.source.dtype == kernel_map.target.dtype
    assert kernel_map.source.dtype in (torch.int32, torch.int64)
    assert kernel_map.splits.dtype == torch.int64


def window(size: int, ndim: int, spacing: int = 1) -> list[tuple[int, ...]]:
    """Centred offsets, lexicographic, the last axis fastest."""
    reach = size // 2 * spacing
    return list(itertools.product(range(-reach, reach + 1, spacing), repeat=ndim))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("ndim", "size"), [(1, 7), (2, 1), (2, 5), (3, 3), (4, 3)])
def test_submanifold_pairs_are_literal(make_coords, engine, ndim, size):
    coords = make_coords(ndim, size=5, low=-2)
    with use_engine(engine):
        kernel_map = submanifold_map(coords, size)
    check(kernel_map, coords, coords, window(size, ndim), 1)
    assert kernel_map.offsets[kernel_map.centre].tolist() == [0] * ndim


@pytest.mark.parametrize("engine", ENGINES)
def test_submanifold_map_of_undivided_coordinates(make_coords, engine):
    coords = make_coords(3, size=4)
    spread = coords * torch.tensor([1, 2, 2, 2])
    with use_engine(engine):
        kernel_map = submanifold_map(spread, 3, stride=2)
        assert listed_pairs(kernel_map) == listed_pairs(submanifold_map(coords, 3))
    check(kernel_map, spread, spread, window(3, 3, 2), 1)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("ndim", "stride"), [(1, 4), (2, 3), (3, 2), (3, 1), (4, 2)])
def test_strided_pairs_are_literal(make_coords, engine, ndim, stride):
    coords = make_coords(ndim, size=5, low=-3)
    with use_engine(engine):
        coarse, kernel_map = strided_map(coords, stride)
    cells = {(event, *(c // stride for c in voxel)) for event, *voxel in coords.tolist()}
    assert coarse.tolist() == [list(cell) for cell in sorted(cells)]
    assert coarse.dtype == torch.int32
    check(kernel_map, coords, coarse, list(itertools.product(range(stride), repeat=ndim)), stride)
    assert sorted(kernel_map.source.tolist()) == list(range(len(coords)))


@st.composite
def voxels(draw, ndim: int, *, most: int = 20) -> Tensor:
    """Distinct rows in any order, negative ones too, in events of which some may be missing."""
    row = st.tuples(st.integers(0, 2), *[st.integers(-4, 4)] * ndim)
    rows = draw(st.lists(row, unique=True, max_size=most))
    return torch.tensor(rows, dtype=torch.int32).reshape(-1, 1 + ndim)


@st.composite
def windows(draw, ndim: int) -> dict[str, tuple[int, ...]]:
    """Arguments of :func:`strided_map` per axis: gaps, overlaps and shifts among them."""
    largest = {1: 5, 2: 4, 3: 3, 4: 2}[ndim]
    ranges = {"stride": (1, 3), "kernel_size": (1, largest), "dilation": (1, 3), "padding": (-2, 3)}
    return {name: draw(st.tuples(*[st.integers(*ends)] * ndim)) for name, ends in ranges.items()}


def literal_offsets(kernel_size, dilation, padding) -> list[tuple[int, ...]]:
    axes = [[d * j - p for j in range(k)] for k, d, p in zip(kernel_size, dilation, padding)]
    return list(itertools.product(*axes))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
@given(data=st.data())
@settings(max_examples=25)
def test_submanifold_windows_are_literal(engine, ndim, data):
    coords, window = data.draw(voxels(ndim)), data.draw(windows(ndim))
    sizes, dilation = window["kernel_size"], window["dilation"]
    with use_engine(engine):
        kernel_map = submanifold_map(coords, sizes, dilation=dilation)
    lower = tuple((size - 1) // 2 * step for size, step in zip(sizes, dilation))
    check(kernel_map, coords, coords, literal_offsets(sizes, dilation, lower), 1)
    assert (kernel_map.centre >= 0) == all(size % 2 for size in sizes)
    if kernel_map.centre >= 0:
        assert not kernel_map.offsets[kernel_map.centre].any()
        assert kernel_map.centre == kernel_map.volume // 2


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
@given(data=st.data())
@settings(max_examples=25)
def test_strided_windows_are_literal(engine, ndim, data):
    coords, window = data.draw(voxels(ndim)), data.draw(windows(ndim))
    with use_engine(engine):
        coarse, kernel_map = strided_map(coords, **window)
    stride = window.pop("stride")
    offsets = literal_offsets(**window)
    reached = {
        (event, *((c - d) // s for c, d, s in zip(voxel, offset, stride)))
        for event, *voxel in coords.tolist()
        for offset in offsets
        if not any((c - d) % s for c, d, s in zip(voxel, offset, stride))
    }
    assert [tuple(site) for site in coarse.tolist()] == sorted(reached)
    check(kernel_map, coords, coarse, offsets, stride)
    check_order(kernel_map, coarse)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
@given(data=st.data())
@settings(max_examples=25)
def test_generative_windows_are_literal(engine, ndim, data):
    coords, window = data.draw(voxels(ndim)), data.draw(windows(ndim))
    with use_engine(engine):
        fine, kernel_map = generative_map(coords, **window)
    stride = window.pop("stride")
    offsets = literal_offsets(**window)
    reached = {
        (event, *(s * c + d for c, d, s in zip(voxel, offset, stride)))
        for event, *voxel in coords.tolist()
        for offset in offsets
    }
    assert [tuple(site) for site in fine.tolist()] == sorted(reached)
    check(kernel_map.transposed(), fine, coords, offsets, stride)
    check_order(kernel_map, fine)


def check_order(kernel_map: KernelMap, outputs: Tensor) -> None:
    """Within one offset, pairs follow the coordinates of their targets."""
    for a, b in itertools.pairwise(kernel_map.splits.tolist()):
        targets = outputs[kernel_map.target[a:b]].tolist()
        assert targets == sorted(targets)


@given(
    st.sets(st.tuples(st.integers(0, 2), st.integers(-3, 3), st.integers(-3, 3)), max_size=30), st.randoms()
)
def test_engines_agree_exactly(voxels, random):
    rows = sorted(voxels)
    random.shuffle(rows)
    coords = torch.tensor(rows, dtype=torch.int32).reshape(-1, 3)
    maps = []
    for engine in ENGINES:
        with use_engine(engine):
            coarse, down = strided_map(coords, 2)
            maps.append((coarse, down, submanifold_map(coords, 3)))
    coarse, *first = maps[0]
    check(first[1], coords, coords, window(3, 2), 1)
    for other_coarse, *others in maps[1:]:
        assert torch.equal(coarse, other_coarse)
        for one, other in zip(first, others):
            for name in ("source", "target", "splits", "offsets"):
                assert torch.equal(getattr(one, name), getattr(other, name))


def test_pairs_of_an_offset_are_ordered_by_target_coordinates(make_coords):
    coords = make_coords(3)
    check_order(submanifold_map(coords, 3), coords)


def test_transposed_twice_is_the_same(make_coords):
    coarse, kernel_map = strided_map(make_coords(2), 2)
    back = kernel_map.transposed()
    assert (back.n_source, back.n_target) == (len(coarse), kernel_map.n_source)
    assert listed_pairs(back) == [(o, i, k) for i, o, k in listed_pairs(kernel_map)]
    assert listed_pairs(back.transposed()) == listed_pairs(kernel_map)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "build",
    [lambda c: submanifold_map(c, 3), lambda c: strided_map(c, 2), lambda c: generative_map(c, 2)],
)
def test_duplicates_are_refused(engine, build):
    coords = torch.tensor([[0, 1, 1], [0, 5, 2], [0, 1, 1]], dtype=torch.int32)
    with use_engine(engine), pytest.raises(ValueError, match="coalesce"):
        build(coords)


@pytest.mark.parametrize("engine", ENGINES)
def test_coordinates_too_wide_for_a_key_are_refused(engine):
    edge = torch.iinfo(torch.int32)
    coords = torch.tensor([[0] + [edge.min] * 3, [0] + [edge.max] * 3], dtype=torch.int32)
    with use_engine(engine), pytest.raises(ValueError, match="64-bit key"):
        submanifold_map(coords, 3)


@pytest.mark.parametrize("engine", ENGINES)
def test_coordinates_at_the_edge_of_int32_do_not_wrap(engine):
    edge = torch.iinfo(torch.int32)
    coords = torch.tensor([[0, edge.max], [0, edge.max - 1], [0, edge.min]], dtype=torch.int32)
    with use_engine(engine):
        check(submanifold_map(coords, 3), coords, coords, window(3, 1), 1)
        coarse, down = strided_map(coords, 3)
    check(down, coords, coarse, [(0,), (1,), (2,)], 3)


@pytest.mark.parametrize("engine", ENGINES)
def test_sites_beyond_the_edge_of_int32_are_refused(engine):
    edge = torch.iinfo(torch.int32)
    top = torch.tensor([[0, edge.max // 2 + 1]], dtype=torch.int32)
    bottom = torch.tensor([[0, edge.min]], dtype=torch.int32)
    with use_engine(engine):
        with pytest.raises(ValueError, match="int32"):
            generative_map(top, 2)
        below = top - torch.tensor([0, 1], dtype=torch.int32)
        assert generative_map(below, 2)[0].tolist() == [[0, edge.max - 1], [0, edge.max]]
        with pytest.raises(ValueError, match="int32"):
            strided_map(bottom, 1, kernel_size=2)
        assert strided_map(bottom, 2)[0].tolist() == [[0, edge.min // 2]]


@pytest.mark.parametrize("engine", ENGINES)
def test_no_voxel_and_one_voxel(engine):
    with use_engine(engine):
        for n in (0, 1):
            coords = torch.full((n, 4), 3, dtype=torch.int32)
            check(submanifold_map(coords, 3), coords, coords, window(3, 3), 1)
            coarse, kernel_map = strided_map(coords, 2)
            assert coarse.shape == (n, 4)
            check(kernel_map, coords, coarse, list(itertools.product(range(2), repeat=3)), 2)
            fine, kernel_map = generative_map(coords, 2)
            assert fine.shape == (8 * n, 4)
            check(kernel_map.transposed(), fine, coords, list(itertools.product(range(2), repeat=3)), 2)


def test_bad_arguments_are_refused():
    coords = torch.zeros(1, 4, dtype=torch.int32)
    with pytest.raises(ValueError, match="one per axis"):
        submanifold_map(coords, (3, 3))
    with pytest.raises(ValueError, match="positive"):
        submanifold_map(coords, 0)
    with pytest.raises(ValueError, match="positive"):
        strided_map(coords, 0)
    with pytest.raises(ValueError, match="integers"):
        submanifold_map(coords.float(), 3)
    with pytest.raises(ValueError, match="event index first"):
        strided_map(coords[0], 2)
