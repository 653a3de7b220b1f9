"""From energy deposits to labelled voxels: fragments, groups, interactions, classes, particle ids."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparseclust._voxels import component_labels, offsets_within, shifted_pairs
from sparseclust.data._event import Event, SemanticClass
from sparseclust.data.simulation._kernels_labels import absorb_touching, find_families
from sparseclust.data.simulation._kernels_particles import (
    CODE,
    DEPOSITED,
    INTERACTION,
    PARENT,
    PARTICLE,
    VOXEL,
    Detector,
)

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

VOXEL_THRESHOLD = 0.05  # MeV that one family has to leave in a voxel
FRAGMENT_SIZE = 10  # voxels of the smallest shower fragment
TRACK_SIZE = 10  # of the shortest track
DELTA_SIZE = 7  # of the smallest delta ray, outside its parent

SHOWER, TRACK, MICHEL, DELTA, LOW_ENERGY = (int(c) for c in SemanticClass)
# Who owns a voxel that several families reach, and whom a crumb joins: smaller first, by semantic class.
OWNER_RANK = np.array([1, 0, 2, 3, 4])
JOIN_RANK = np.array([0, 3, 1, 2])
# Published particle ids (0 photon, 1 electron, 2 muon, 3 pion, 4 proton) by particle code.
PARTICLE_ID = np.array([0, 1, 1, 2, 2, 3, 3, -1, 4])


class _Voxels(NamedTuple):
    """Voxels with the family that owns them, sorted by (family, voxel)."""

    voxel: IntArray  # key
    family: IntArray
    energy: FloatArray  # of everybody
    own: FloatArray  # of the family's root particle itself
    kind: IntArray  # semantic class of each family


class _Pieces(NamedTuple):
    """Connected pieces of the voxels of one family each."""

    label: IntArray  # piece of each voxel
    family: IntArray
    size: IntArray
    main: IntArray  # piece that stands for each family; -1 where the family owns nothing
    own: FloatArray  # energy that the family's root particle itself left in each piece


def label_event(
    deposits: FloatArray, particles: FloatArray, detector: Detector, *, small: str = "scatter"
) -> Event:
    """Voxelise and label the deposits of one event.

    Parameters
    ----------
    deposits, particles : float64 arrays
        Records as the transport writes them.
    detector : Detector
    small : {"scatter", "parent"}
        What becomes of pieces too small for an instance: low-energy scatters without an instance, or voxels
        of the particle that made them.

    Returns
    -------
    Event
        Voxels in lexicographic order, each once.

    Notes
    -----
    Families (a particle and its electromagnetic descendants) compete for each voxel: tracks, then showers,
    Michel electrons and delta rays, then energy. The 26-connected pieces of what a family owns become
    instances: a track as a whole, of a Michel or delta electron every piece where it left energy itself
    (where it crosses its parent again, it is in several), every other piece of at least 10 voxels as a shower
    fragment. A delta ray with fewer than 7 voxels of its own stays with its parent. Voxels without an
    instance join an instance that they touch.

    With ``small="scatter"`` every shower instance is therefore 26-connected. Others need not be.
    """
    root, kind = find_families(particles)
    weights = np.array([detector.base**2, detector.base, 1], np.int64)
    deltas = offsets_within(1.8, 3) @ weights
    voxels = _own_voxels(deposits, root, kind, detector)
    pieces = _find_pieces(voxels, deltas, detector)
    leader, semantic = _choose_instances(voxels.kind, pieces, root[particles[:, PARENT].astype(np.int64)])
    if small == "parent":
        leader = np.where(leader < 0, leader[pieces.main[pieces.family]], leader)

    order = np.argsort(voxels.voxel)
    instance = leader[pieces.label][order]
    key = voxels.voxel[order]
    source, target, _ = shifted_pairs(key, deltas)
    rank = JOIN_RANK[semantic] * len(semantic) + np.arange(len(semantic))
    absorb_touching(instance, rank, source, target)
    return _assemble(key, voxels.energy[order], instance, semantic, pieces.family, particles, detector)


def _own_voxels(deposits: FloatArray, root: IntArray, kind: IntArray, detector: Detector) -> _Voxels:
    """Sum the deposits by family and voxel, drop what is below threshold, give each voxel to one family."""
    volume = detector.base**3
    particle = deposits[:, PARTICLE].astype(np.int64)
    cell = root[particle] * volume + deposits[:, VOXEL].astype(np.int64)
    keys, row = np.unique(cell, return_inverse=True)
    energy = _sum_rows(row, deposits[:, DEPOSITED], len(keys))
    own = _sum_rows(row, (root[particle] == particle) * deposits[:, DEPOSITED], len(keys))
    keep = np.flatnonzero(energy >= VOXEL_THRESHOLD)
    energy, own = energy[keep], own[keep]
    family, voxel = np.divmod(keys[keep], volume)

    reach = np.bincount(family, minlength=len(kind))
    kind = np.where((kind == TRACK) & (reach < TRACK_SIZE), LOW_ENERGY, kind)
    order = np.lexsort((-energy, OWNER_RANK[kind[family]], voxel))
    first = np.flatnonzero(np.diff(voxel[order], prepend=-1))
    total: FloatArray = np.add.reduceat(energy[order], first)
    by_family = np.argsort(order[first])
    rows = order[first][by_family]
    return _Voxels(voxel[rows], family[rows], total[by_family], own[rows], kind)


def _sum_rows(row: IntArray, values: FloatArray, n: int) -> FloatArray:
    """Sum of the values of each row; float64 even without any."""
    return np.bincount(row, values, n).astype(np.float64)


def _find_pieces(voxels: _Voxels, deltas: IntArray, detector: Detector) -> _Pieces:
    """Find the connected pieces of each family, and which of them stands for it.

    That is the largest one, or, for Michel and delta electrons, the one with most energy of the electron.
    """
    n = len(voxels.voxel)
    source, target, _ = shifted_pairs(voxels.family * detector.base**3 + voxels.voxel, deltas)
    label = component_labels(n, np.stack([source, target]))
    size = np.bincount(label)
    family = np.zeros(len(size), np.int64)
    family[label] = voxels.family
    core = np.isin(voxels.kind[family], (MICHEL, DELTA))
    own = _sum_rows(label, voxels.own, len(size))
    weight = np.where(core, own, size)
    order = np.lexsort((-weight, family))
    main = np.full(len(voxels.kind), -1, np.int64)
    present, first = np.unique(family[order], return_index=True)
    main[present] = order[first]
    return _Pieces(label, family, size, main, own)


def _choose_instances(kind: IntArray, pieces: _Pieces, parent_family: IntArray) -> tuple[IntArray, IntArray]:
    """Leading piece of the instance of each piece (-1: none), and the class that a leader stands for."""
    index = np.arange(len(pieces.size))
    piece_kind, main = kind[pieces.family], pieces.main[pieces.family]
    track = piece_kind == TRACK
    core = np.isin(piece_kind, (MICHEL, DELTA)) & (pieces.own > 0)
    semantic = np.where(track | core, piece_kind, SHOWER)

    fragment = (piece_kind != LOW_ENERGY) & ~track & ~core & (pieces.size >= FRAGMENT_SIZE)
    leader = np.where(track | core, main, np.where(fragment, index, -1))
    size = np.bincount(pieces.family[core], pieces.size[core], len(kind))
    merged = core & (piece_kind == DELTA) & (size[pieces.family] < DELTA_SIZE)
    parent = pieces.main[parent_family[pieces.family[merged]]]
    leader[merged] = np.where((parent >= 0) & track[parent], parent, -1)
    return leader, semantic


def _assemble(
    key: IntArray,
    energy: FloatArray,
    instance: IntArray,
    semantic: IntArray,
    family: IntArray,
    particles: FloatArray,
    detector: Detector,
) -> Event:
    """Columns of the event; whatever has no instance is a low-energy scatter and has no other id either."""
    known = instance >= 0
    root = family[instance[known]]

    def column(values: npt.NDArray[Any], missing: int) -> IntArray:
        out = np.full(len(key), missing, np.int64)
        out[known] = values
        return out

    rest, k = np.divmod(key, detector.base)
    i, j = np.divmod(rest, detector.base)
    return Event(
        np.stack([i, j, k], axis=1) - 1,
        energy,
        semantic=column(semantic[instance[known]], LOW_ENERGY),
        instance=column(np.unique(instance[known], return_inverse=True)[1], -1),
        extra={
            "group": column(np.unique(root, return_inverse=True)[1], -1),
            "interaction": column(particles[root, INTERACTION], -1),
            "pid": column(PARTICLE_ID[particles[root, CODE].astype(np.int64)], -1),
        },
    )
