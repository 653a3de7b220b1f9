# mypy: ignore-errors
# Compiled by numba, whose decorators carry no types.
"""Compiled loops: what two fragments look like where they meet."""

import numba
import numpy as np

PER_MEETING = 14
PER_RADIUS = 8
BETWEEN = 4


@numba.njit(cache=True, nogil=True)
def describe_pairs(places, energy, kind, fragment, cells, pairs, splits, edges, affinity, radii, near, out):
    """Write one row per pair of fragments: their edges, each of them around the contact, what else is there.

    ``places`` (n, d) float64, ``energy`` (n,), ``kind`` (n,) class or -1, ``fragment`` (n,). ``cells`` is
    (order, keys, key_of_row, shifts): rows sorted by the key of their cell, and steps to the runs of cells
    around one, three cells each. Pair ``k`` has ``edges[:, splits[k]:splits[k + 1]]``, of any direction.
    """
    d = places.shape[1]
    n_radii = radii.shape[0]
    side_width = PER_RADIUS * n_radii
    contact = np.empty(d)
    axes, ways = np.empty((2, n_radii, d)), np.empty((2, n_radii, d))
    rows, sides, squared = np.empty(64, np.int64), np.empty(64, np.int8), np.empty(64)
    for k in range(pairs.shape[0]):
        begin, end = splits[k], splits[k + 1]
        first, second, p = edges[0, begin:end], edges[1, begin:end], affinity[begin:end]
        meeting = describe_meeting(places, first, second, p, contact, out[k])
        found = 0
        order, keys, key_of_row, shifts = cells
        others = out[k, PER_MEETING + 2 * side_width + BETWEEN * n_radii :]
        others[:] = 0
        for shift in shifts:
            low = key_of_row[first[meeting]] + shift
            for at in range(np.searchsorted(keys, low), keys.shape[0]):
                if keys[at] > low + 2:
                    break
                row = order[at]
                distance = 0.0
                for axis in range(d):
                    distance += (places[row, axis] - contact[axis]) ** 2
                side = 0 if fragment[row] == pairs[k, 0] else 1 if fragment[row] == pairs[k, 1] else -1
                if side < 0:
                    for r in range(near.shape[0]):
                        others[r] += distance <= near[r] ** 2
                    if kind[row] >= 0 and distance <= near[-1] ** 2:
                        others[near.shape[0] + kind[row]] += 1
                elif distance <= radii[-1] ** 2:
                    if found == rows.shape[0]:
                        rows, sides = np.concatenate((rows, rows)), np.concatenate((sides, sides))
                        squared = np.concatenate((squared, squared))
                    rows[found], sides[found], squared[found] = row, side, distance
                    found += 1
        for i in range(others.shape[0]):
            others[i] = np.log1p(others[i])
        for side in range(2):
            for r in range(n_radii):
                at = PER_MEETING + side * side_width + r * PER_RADIUS
                describe_side(
                    places,
                    energy,
                    contact,
                    rows[:found],
                    sides[:found] == side,
                    squared[:found],
                    radii[r],
                    axes[side, r],
                    ways[side, r],
                    out[k, at : at + PER_RADIUS],
                )
        for r in range(n_radii):
            at = PER_MEETING + 2 * side_width + r * BETWEEN
            out[k, at] = dot(ways[0, r], ways[1, r])
            out[k, at + 1] = abs(dot(axes[0, r], axes[1, r]))
            # The axis of one side, pointing away from the contact, against where the other side lies.
            out[k, at + 2] = dot(ways[0, r], axes[1, r]) * sign(dot(axes[1, r], ways[1, r]))
            out[k, at + 3] = dot(ways[1, r], axes[0, r]) * sign(dot(axes[0, r], ways[0, r]))


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
            away += (places[first[e], axis] - contact[axis]) ** 2
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


@numba.njit(cache=True, nogil=True)
def describe_side(places, energy, contact, rows, mine, squared, radius, axis, way, out):
    """Describe the voxels of one fragment within a radius: number, extent, direction, energy."""
    d = places.shape[1]
    count, total, reach = 0, 0.0, 0.0
    centre = np.zeros(d)
    spread = np.zeros((d, d))
    for i in range(rows.shape[0]):
        if not mine[i] or squared[i] > radius**2:
            continue
        row = rows[i]
        count += 1
        total += energy[row]
        reach = max(reach, squared[i])
        for a in range(d):
            step = places[row, a] - contact[a]
            centre[a] += step
            for b in range(d):
                spread[a, b] += step * (places[row, b] - contact[b])
    axis[:], way[:], out[:] = 0.0, 0.0, 0.0
    if count == 0:
        return
    centre /= count
    spread /= count
    for a in range(d):
        for b in range(d):
            spread[a, b] -= centre[a] * centre[b]
    widths, directions = np.linalg.eigh(spread)
    long, wide = max(widths[d - 1], 0.0), max(widths[d - 2], 0.0) if d > 1 else 0.0
    if long - wide > 1e-9:  # else no direction stands out
        axis[:] = directions[:, d - 1]
    away = np.sqrt(dot(centre, centre))
    if away > 1e-9:
        way[:] = centre / away
    low, high = np.inf, -np.inf
    for i in range(rows.shape[0]):
        if mine[i] and squared[i] <= radius**2:
            along = 0.0
            for a in range(d):
                along += (places[rows[i], a] - contact[a]) * axis[a]
            low, high = min(low, along), max(high, along)
    out[0] = np.log1p(count)
    out[1] = np.log1p(away)
    out[2], out[3] = np.log1p(np.sqrt(long)), np.log1p(np.sqrt(wide))
    out[4] = abs(dot(axis, way))
    out[5] = np.log1p(total / count)
    out[6] = np.log1p(total / max(np.sqrt(reach), 1.0))
    out[7] = min(high, -low) / max(high - low, 1e-3)


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
