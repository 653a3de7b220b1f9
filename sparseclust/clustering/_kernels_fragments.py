# mypy: ignore-errors
# Compiled by numba, whose decorators carry no types.
"""Compiled loops: what two fragments look like where they meet."""

import numba
import numpy as np

PER_MEETING = 14
PER_SIDE = 8
PER_OTHERS = 6
BETWEEN = 4
BESIDE = 3
PARTIES = 4


@numba.njit(cache=True, nogil=True)
def describe_pairs(places, energy, kind, fragment, cells, pairs, splits, edges, affinity, radii, near, out):
    """Write one row per pair of fragments: their edges, each of them around the contact, what else is there.

    ``places`` (n, d) float64, ``energy`` (n,), ``kind`` (n,) class or -1, ``fragment`` (n,). ``cells`` is
    (order, keys, key_of_row, shifts): rows sorted by the key of their cell, and steps to the runs of cells
    around one, three cells each. Pair ``k`` has ``edges[:, splits[k]:splits[k + 1]]``, of any direction.

    Around the contact there are four parties: both fragments, others of a class that these have where they
    meet, and others of other classes, as the track that a delta ray left.
    """
    d = places.shape[1]
    n_radii = radii.shape[0]
    side_width, others_width = PER_SIDE * n_radii, PER_OTHERS * n_radii
    after = PER_MEETING + 2 * (side_width + others_width)
    contact, step = np.empty(d), np.empty(d)
    scratch = np.empty((2 * d + 1, d))
    low, high = np.empty(n_radii), np.empty(n_radii)
    shape = (PARTIES, n_radii, d)
    sums = np.empty((PARTIES, n_radii, 2 + d + d * d))
    reach = np.empty((PARTIES, n_radii))
    axes, ways = np.empty(shape), np.empty(shape)
    order, keys, key_of_row, shifts = cells
    runs = np.empty((shifts.shape[0], 2), np.int64)
    farthest = max(radii[-1], near[-1]) ** 2
    for k in range(pairs.shape[0]):
        begin, end = splits[k], splits[k + 1]
        first, second, p = edges[0, begin:end], edges[1, begin:end], affinity[begin:end]
        meeting = describe_meeting(places, first, second, p, contact, out[k])
        one, another = kind[first[meeting]], kind[second[meeting]]
        found = 0
        counts = out[k, after + (BETWEEN + 4 * BESIDE) * n_radii :]
        counts[:], sums[:], reach[:] = 0, 0, 0
        room = 0
        for i in range(shifts.shape[0]):
            low_key = key_of_row[first[meeting]] + shifts[i]
            runs[i] = np.searchsorted(keys, low_key), np.searchsorted(keys, low_key + 3)
            room += runs[i, 1] - runs[i, 0]
        # Lists that grow in the loop would make each of its steps slower.
        rows, sides, shells = np.empty(room, np.int64), np.empty(room, np.int8), np.empty(room, np.int8)
        for i in range(shifts.shape[0]):
            for at in range(runs[i, 0], runs[i, 1]):
                row = order[at]
                distance = 0.0
                for axis in range(d):
                    step[axis] = places[row, axis] - contact[axis]
                    distance += step[axis] ** 2
                if distance > farthest:
                    continue
                party = 0 if fragment[row] == pairs[k, 0] else 1 if fragment[row] == pairs[k, 1] else 2
                if party == 2:
                    for r in range(near.shape[0]):
                        counts[r] += distance <= near[r] ** 2
                    if kind[row] >= 0 and distance <= near[-1] ** 2:
                        counts[near.shape[0] + kind[row]] += 1
                    party += kind[row] != one and kind[row] != another
                if distance > radii[-1] ** 2:
                    continue
                shell = 0
                while distance > radii[shell] ** 2:
                    shell += 1
                add_voxel(step, energy[row], sums[party, shell])
                reach[party, shell] = max(reach[party, shell], distance)
                if party < 2:
                    rows[found], sides[found], shells[found] = row, party, shell
                    found += 1
        for i in range(counts.shape[0]):
            counts[i] = np.log1p(counts[i])
        at = PER_MEETING
        for party in range(PARTIES):
            width = PER_SIDE if party < 2 else PER_OTHERS
            for r in range(n_radii):
                if r:
                    sums[party, r] += sums[party, r - 1]
                    reach[party, r] = max(reach[party, r], reach[party, r - 1])
                numbers = out[k, at + r * width : at + (r + 1) * width]
                describe_party(sums[party, r], axes[party, r], ways[party, r], scratch, numbers)
            if party < 2:
                low[:], high[:] = np.inf, -np.inf
                for i in range(found):
                    if sides[i] == party:
                        for r in range(shells[i], n_radii):
                            along = 0.0
                            for a in range(d):
                                along += (places[rows[i], a] - contact[a]) * axes[party, r, a]
                            low[r], high[r] = min(low[r], along), max(high[r], along)
                for r in range(n_radii):
                    if sums[party, r, 0] > 0:
                        numbers = out[k, at + r * width : at + (r + 1) * width]
                        numbers[6] = np.log1p(sums[party, r, 1] / max(np.sqrt(reach[party, r]), 1.0))
                        numbers[7] = min(high[r], -low[r]) / max(high[r] - low[r], 1e-3)
            at += n_radii * width
        for r in range(n_radii):
            at = after + r * (BETWEEN + 4 * BESIDE)
            out[k, at] = dot(ways[0, r], ways[1, r])
            out[k, at + 1] = abs(dot(axes[0, r], axes[1, r]))
            # The axis of one side, pointing away from the contact, against where the other side lies.
            out[k, at + 2] = dot(ways[0, r], axes[1, r]) * sign(dot(axes[1, r], ways[1, r]))
            out[k, at + 3] = dot(ways[1, r], axes[0, r]) * sign(dot(axes[0, r], ways[0, r]))
            at += BETWEEN
            for others in range(2, PARTIES):
                for side in range(2):
                    out[k, at] = abs(dot(axes[side, r], axes[others, r]))
                    out[k, at + 1] = dot(ways[side, r], ways[others, r])
                    out[k, at + 2] = abs(dot(ways[side, r], axes[others, r]))
                    at += BESIDE


@numba.njit(cache=True, nogil=True)
def describe_meeting(places, first, second, p, contact, out):
    """Describe the edges between two fragments; return the one whose middle is the contact."""
    d = places.shape[1]
    m = p.shape[0]
    mean = np.zeros(d)
    total = p.sum() + 1e-9 * m
    for e in range(m):
        for axis in range(d):
            mean[axis] += (places[first[e], axis] + places[second[e], axis]) / 2 * (p[e] + 1e-9) / total
    nearest, meeting = np.inf, 0
    for e in range(m):
        away = 0.0
        for axis in range(d):
            away += ((places[first[e], axis] + places[second[e], axis]) / 2 - mean[axis]) ** 2
        if away < nearest:
            nearest, meeting = away, e
    for axis in range(d):
        contact[axis] = (places[first[meeting], axis] + places[second[meeting], axis]) / 2
    shortest, longest, spread = np.inf, 0.0, 0.0
    likely, sure, odds, least = 0, 0, 0.0, np.inf
    for e in range(m):
        length, away = 0.0, 0.0
        for axis in range(d):
            length += (places[first[e], axis] - places[second[e], axis]) ** 2
            away += ((places[first[e], axis] + places[second[e], axis]) / 2 - contact[axis]) ** 2
        shortest, longest, spread = min(shortest, length), max(longest, length), max(spread, away)
        likely += p[e] > 0.5
        sure += p[e] > 0.9
        one = log_odds(p[e])
        odds += one
        least = min(least, one)
    strongest = np.sort(p)[::-1]
    out[0] = strongest[0]
    out[1] = strongest[min(1, m - 1)]
    out[2] = strongest[min(3, m - 1)]
    out[3] = p.mean()
    out[4], out[5], out[6] = np.log1p(m), np.log1p(likely), np.log1p(sure)
    out[7], out[8], out[9] = (
        np.log1p(np.sqrt(shortest)),
        np.log1p(np.sqrt(longest)),
        np.log1p(np.sqrt(spread)),
    )
    out[10] = np.sign(odds) * np.log1p(abs(odds))
    out[11], out[12] = odds / m, least
    out[13] = log_odds(strongest[0])
    return meeting


@numba.njit(cache=True, nogil=True, inline="always")
def add_voxel(step, energy, sums):
    """Add to number, energy, steps from the contact and their products."""
    d = step.shape[0]
    sums[0] += 1
    sums[1] += energy
    for a in range(d):
        sums[2 + a] += step[a]
        for b in range(a + 1):
            sums[2 + d + a * d + b] += step[a] * step[b]


@numba.njit(cache=True, nogil=True)
def describe_party(sums, axis, way, scratch, out):
    """Describe voxels by their sums: number, extent, direction, energy; all zero where there are none.

    ``scratch`` (2 d + 1, d) is room to work in.
    """
    d = axis.shape[0]
    axis[:], way[:], out[:] = 0.0, 0.0, 0.0
    count, total = sums[0], sums[1]
    if count == 0:
        return
    centre, spread, directions = scratch[0], scratch[1 : 1 + d], scratch[1 + d :]
    for a in range(d):
        centre[a] = sums[2 + a] / count
    for a in range(d):
        for b in range(a + 1):
            spread[a, b] = sums[2 + d + a * d + b] / count - centre[a] * centre[b]
            spread[b, a] = spread[a, b]
    diagonalize(spread, directions)
    main = 0
    for a in range(1, d):
        if spread[a, a] > spread[main, main]:
            main = a
    long, wide = max(spread[main, main], 0.0), 0.0
    for a in range(d):
        if a != main:
            wide = max(wide, spread[a, a])
    if long - wide > 1e-9:  # else no direction stands out
        axis[:] = directions[:, main]
    away = np.sqrt(dot(centre, centre))
    if away > 1e-9:
        way[:] = centre / away
    out[0] = np.log1p(count)
    out[1] = np.log1p(away)
    out[2], out[3] = np.log1p(np.sqrt(long)), np.log1p(np.sqrt(wide))
    out[4] = abs(dot(axis, way))
    out[5] = np.log1p(total / count)


@numba.njit(cache=True, nogil=True)
def diagonalize(matrix, directions):
    """Rotate a small symmetric matrix until it is diagonal (Jacobi); LAPACK takes five times as long."""
    d = matrix.shape[0]
    directions[:] = 0.0
    trace = 0.0
    for a in range(d):
        directions[a, a] = 1.0
        trace += abs(matrix[a, a])
    for _ in range(30):
        rest = 0.0
        for a in range(d):
            for b in range(a):
                rest += abs(matrix[a, b])
        if rest <= 1e-15 * trace:
            return
        for a in range(d):
            for b in range(a):
                if matrix[a, b] == 0.0:
                    continue
                ratio = (matrix[b, b] - matrix[a, a]) / (2 * matrix[a, b])
                t = 1.0 / (abs(ratio) + np.sqrt(ratio * ratio + 1.0))
                if ratio < 0:
                    t = -t
                c = 1.0 / np.sqrt(t * t + 1.0)
                s = t * c
                for i in range(d):
                    x, y = matrix[i, a], matrix[i, b]
                    matrix[i, a], matrix[i, b] = c * x - s * y, s * x + c * y
                    x, y = directions[i, a], directions[i, b]
                    directions[i, a], directions[i, b] = c * x - s * y, s * x + c * y
                for i in range(d):
                    x, y = matrix[a, i], matrix[b, i]
                    matrix[a, i], matrix[b, i] = c * x - s * y, s * x + c * y
                matrix[a, b] = matrix[b, a] = 0.0


@numba.njit(cache=True, nogil=True, inline="always")
def log_odds(p):
    """Log-odds of a probability, which counts as at least 1e-4 away from 0 and 1."""
    inside = min(max(p, 1e-4), 1 - 1e-4)
    return np.log(inside / (1 - inside))


@numba.njit(cache=True, nogil=True, inline="always")
def sign(x):
    """Sign, 0 for what is only rounding: the sign of a right angle's cosine would be that of chance."""
    return 0.0 if abs(x) < 1e-9 else np.sign(x)


@numba.njit(cache=True, nogil=True, inline="always")
def dot(a, b):
    """Scalar product; that of NumPy wants contiguous arrays."""
    total = 0.0
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total
