"""Compiled passes over the rows of a matrix, for a normalisation and the activation behind it.

Rows are short, so loops over the columns would be too. A sweep takes as many rows as fill ``_LANES`` numbers
and treats them as one long row; vectors of coefficients are repeated accordingly.
"""

import numba
import numpy as np

_LANES = 256
_ROWS = 4096  # rows of one partial sum: the same for any number of threads, so the result is too


@numba.njit(cache=True, nogil=True)
def _repeat(vector, dtype):
    """One copy per row of a sweep."""
    rows = max(1, _LANES // vector.shape[0])
    out = np.empty(rows * vector.shape[0], dtype)
    for r in range(rows):
        for j in range(vector.shape[0]):
            out[r * vector.shape[0] + j] = vector[j]
    return out


@numba.njit(cache=True, nogil=True)
def partial_sums(n):
    """Count the partial sums over n rows."""
    return (n + _ROWS - 1) // _ROWS


@numba.njit(cache=True, nogil=True)
def sums(x, part, parts, out):
    """``out[i] = (sum, sum of squares)`` of every column over the i-th block of rows, i of one part."""
    n, c = x.shape
    flat = x.reshape(-1)
    for i in range(part, out.shape[0], parts):
        lanes = np.zeros((2, max(1, _LANES // c) * c))
        first, second = lanes[0], lanes[1]
        stop = min(n, (i + 1) * _ROWS) * c
        for start in range(i * _ROWS * c, stop, lanes.shape[1]):
            sweep = flat[start : min(start + lanes.shape[1], stop)]
            for j in range(sweep.shape[0]):
                value = np.float64(sweep[j])
                first[j] += value
                second[j] += value * value
        out[i] = 0
        for j in range(lanes.shape[1]):
            out[i, 0, j % c] += first[j]
            out[i, 1, j % c] += second[j]


@numba.njit(cache=True)
def statistics(parts, n, momentum, running_mean, running_variance):
    """Mean and variance of n rows, from their partial sums; the running ones move towards them."""
    out = np.zeros(parts.shape[1:])
    for i in range(parts.shape[0]):
        out += parts[i]
    out /= n
    for j in range(out.shape[1]):
        out[1, j] = max(out[1, j] - out[0, j] * out[0, j], 0.0)
        running_mean[j] += momentum * (out[0, j] - running_mean[j])
        running_variance[j] += momentum * (out[1, j] * n / (n - 1) - running_variance[j])
    return out


@numba.njit(cache=True, error_model="numpy")
def coefficients(moments, weight, bias, eps):
    """Scale and shift that normalise rows of given mean and variance."""
    out = np.empty_like(moments)
    for j in range(out.shape[1]):
        out[0, j] = weight[j] / np.sqrt(moments[1, j] + eps)
        out[1, j] = bias[j] - moments[0, j] * out[0, j]
    return out


@numba.njit(cache=True, error_model="numpy")
def gradient_coefficients(parts, n, moments, eps, own):
    """Mean, level and tilt for ``gradient``, then the gradients of weight and bias.

    ``own``: the moments are those of the n rows, so the gradient flows through them too.
    """
    out = np.zeros((5, parts.shape[2]))
    for i in range(parts.shape[0]):
        out[3:] += parts[i, ::-1]
    for j in range(out.shape[1]):
        out[0, j] = moments[0, j]
        root = 1 / np.sqrt(moments[1, j] + eps)
        out[3, j] = (out[3, j] - out[0, j] * out[4, j]) * root
        if own:
            out[1, j] = out[4, j] / n
            out[2, j] = out[3, j] * root / n
    return out


@numba.njit(cache=True, nogil=True)
def transform(x, line, slope, low, high, out):
    """Rows ``low`` to ``high`` of ``out = leaky(x * scale + shift)``; ``line`` is scale and shift."""
    c = x.shape[1]
    slope = x.dtype.type(slope)
    scales, shifts = _repeat(line[0], x.dtype), _repeat(line[1], x.dtype)
    flat, flat_out = x.reshape(-1), out.reshape(-1)
    for start in range(low * c, high * c, scales.shape[0]):
        stop = min(start + scales.shape[0], high * c)
        source, target = flat[start:stop], flat_out[start:stop]
        for j in range(source.shape[0]):
            value = source[j] * scales[j] + shifts[j]
            target[j] = value if value > 0 else value * slope


@numba.njit(cache=True, nogil=True)
def gradient_sums(x, upper, line, slope, part, parts, out):
    """``out[i] = (sum of g, sum of g * x)``, ``g = upper * leaky'(x * scale + shift)``; see ``sums``."""
    n, c = x.shape
    slope = x.dtype.type(slope)
    scales, shifts = _repeat(line[0], x.dtype), _repeat(line[1], x.dtype)
    flat, flat_upper = x.reshape(-1), upper.reshape(-1)
    for i in range(part, out.shape[0], parts):
        lanes = np.zeros((2, scales.shape[0]))
        first, second = lanes[0], lanes[1]
        stop = min(n, (i + 1) * _ROWS) * c
        for start in range(i * _ROWS * c, stop, lanes.shape[1]):
            end = min(start + lanes.shape[1], stop)
            sweep, gradient = flat[start:end], flat_upper[start:end]
            for j in range(sweep.shape[0]):
                g = gradient[j] if sweep[j] * scales[j] + shifts[j] > 0 else gradient[j] * slope
                first[j] += np.float64(g)
                second[j] += np.float64(g) * np.float64(sweep[j])
        out[i] = 0
        for j in range(lanes.shape[1]):
            out[i, 0, j % c] += first[j]
            out[i, 1, j % c] += second[j]


@numba.njit(cache=True, nogil=True)
def gradient(x, upper, line, slope, flow, low, high, out):
    """Rows ``low`` to ``high`` of ``out = scale * (g - level - (x - mean) * tilt)``, g as before."""
    c = x.shape[1]
    slope = x.dtype.type(slope)
    scales, shifts = _repeat(line[0], x.dtype), _repeat(line[1], x.dtype)
    means, levels, tilts = _repeat(flow[0], x.dtype), _repeat(flow[1], x.dtype), _repeat(flow[2], x.dtype)
    flat, flat_upper, flat_out = x.reshape(-1), upper.reshape(-1), out.reshape(-1)
    for start in range(low * c, high * c, scales.shape[0]):
        stop = min(start + scales.shape[0], high * c)
        source, gradients, target = flat[start:stop], flat_upper[start:stop], flat_out[start:stop]
        for j in range(source.shape[0]):
            g = gradients[j] if source[j] * scales[j] + shifts[j] > 0 else gradients[j] * slope
            target[j] = scales[j] * (g - levels[j] - (source[j] - means[j]) * tilts[j])
