"""Compiled loops of the labelling: who descends from whom, and crumbs that join what they touch."""

import numba
import numpy as np

from sparseclust.data.simulation._kernels_particles import (
    CODE,
    DECAY,
    KNOCK_ON,
    MU_MINUS,
    PARENT,
    PI_ZERO,
    POSITRON,
    PROCESS,
)

# Semantic classes, as in ``SemanticClass``.
SHOWER, TRACK, MICHEL, DELTA = range(4)


@numba.njit(cache=True)
def find_families(particles):
    """Root particle of every particle's family, and the semantic class of every family by its root.

    Photons, electrons and positrons belong to the family of a parent of these kinds; every other particle
    founds a family.
    """
    n = particles.shape[0]
    root = np.arange(n)
    kind = np.empty(n, np.int64)
    for i in range(n):
        code = int(particles[i, CODE])
        if code > POSITRON:
            kind[i] = TRACK
            continue
        kind[i] = SHOWER
        parent = int(particles[i, PARENT])
        if parent < 0:
            continue
        maker = int(particles[parent, CODE])
        if maker <= POSITRON:
            root[i] = root[parent]
            kind[i] = kind[parent]
        elif particles[i, PROCESS] == KNOCK_ON:
            kind[i] = DELTA
        elif particles[i, PROCESS] == DECAY and MU_MINUS <= maker < PI_ZERO:
            kind[i] = MICHEL
    return root, kind


@numba.njit(cache=True)
def absorb_touching(instance, rank, first, second):
    """Rows without an instance join a neighbour's, in waves until nothing changes; the lowest rank wins.

    ``first`` and ``second`` are pairs of neighbours, ``rank`` orders the instances and has no ties.
    """
    changed = True
    while changed:
        changed = False
        before = instance.copy()
        for e in range(first.shape[0]):
            a, b = first[e], second[e]
            if before[a] >= 0:
                a, b = b, a
            if before[a] >= 0 or before[b] < 0:
                continue
            if instance[a] < 0 or rank[before[b]] < rank[instance[a]]:
                instance[a] = before[b]
                changed = True
