"""Compiled passes over the rows of a matrix, for a normalisation and the activation behind it.

Rows are short, so loops over the columns would be too. A sweep takes as many rows as fill ``_LANES`` numbers
and treats them as one long row; vectors of coefficients are repeated accordingly. A pass waits for memory
rather than for arithmetic, so numbers are fetched some sweeps before their turn.
"""

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic

from sparseclust.sparse.engines._kernels_parallel import in_parallel
from sparseclust.sparse.engines._kernels_tiles import fetch

_LANES = 256
_BLOCK = 2**15  # numbers of one partial sum: the same for any number of threads, so the result is too
_READ, _WRITE = 0, 1
_AHEAD = 2  # sweeps between the one at work and the one that is fetched


@intrinsic(prefer_literal=True)
def _fetch(typing, purpose, flat, first, count):
    """Ask for numbers of ``flat``, to read or to write them; behind its end nothing happens."""
    signature = types.void(purpose, flat, first, count)

    def generate(context, builder, signature, arguments):
        kind = signature.args[1]
        data = context.make_array(kind)(context, builder, arguments[1]).data
        size = builder.mul(arguments[3], ir.IntType(64)(kind.dtype.bitwidth // 8))
        fetch(builder, [builder.gep(data, [arguments[2]])], size, write=signature.args[0].literal_value)
        return context.get_dummy_value()

    return signature, generate


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
def _rows(c):
    """Rows of a block."""
    return max(1, _BLOCK // c)


@numba.njit(cache=True, nogil=True)
def _blocks(x):
    return (x.shape[0] + _rows(x.shape[1]) - 1) // _rows(x.shape[1])


@numba.njit(cache=True, nogil=True)
def _bounds(block, x):
    """Where the numbers of a block begin and end."""
    n, c = x.shape
    return block * _rows(c) * c, min(n, (block + 1) * _rows(c)) * c


@numba.njit(cache=True, nogil=True)
def moments(start, threads, x, momentum, running_mean, running_variance):
    """Mean and variance of the columns of x; the running ones move towards them."""
    parts = np.empty((_blocks(x), 2, x.shape[1]))
    in_parallel(start, threads, parts.shape[0], _sums, (x, parts))
    return _statistics(parts, x.shape[0], momentum, running_mean, running_variance)


@numba.njit(cache=True, nogil=True)
def _sums(block, x, out):
    """``out[block] = (sum, sum of squares)`` of every column over the rows of a block."""
    c = x.shape[1]
    begin, end = _bounds(block, x)
    flat = x.reshape(-1)
    lanes = np.zeros((2, max(1, _LANES // c) * c))
    first, second = lanes[0], lanes[1]
    width = lanes.shape[1]
    for at in range(begin, end, width):
        _fetch(_READ, flat, at + _AHEAD * width, width)
        sweep = flat[at : min(at + width, end)]
        for j in range(sweep.shape[0]):
            value = np.float64(sweep[j])
            first[j] += value
            second[j] += value * value
    out[block] = 0
    for j in range(lanes.shape[1]):
        out[block, 0, j % c] += first[j]
        out[block, 1, j % c] += second[j]


@numba.njit(cache=True, nogil=True)
def _statistics(parts, n, momentum, running_mean, running_variance):
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


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _gradient_coefficients(parts, n, moments, eps, own):
    """Mean, level and tilt for ``_gradient``, then the gradients of weight and bias.

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
def transform(start, threads, x, line, slope, out):
    """``out = leaky(x * scale + shift)``; ``line`` is scale and shift."""
    in_parallel(start, threads, _blocks(x), _transform, (x, line, slope, out))


@numba.njit(cache=True, nogil=True)
def _transform(block, x, line, slope, out):
    begin, end = _bounds(block, x)
    slope = x.dtype.type(slope)
    scales, shifts = _repeat(line[0], x.dtype), _repeat(line[1], x.dtype)
    flat, flat_out = x.reshape(-1), out.reshape(-1)
    width = scales.shape[0]
    for at in range(begin, end, width):
        # Reads are foreseen by the processor, but a line is also read before it is written.
        _fetch(_WRITE, flat_out, at + _AHEAD * width, width)
        stop = min(at + width, end)
        source, target = flat[at:stop], flat_out[at:stop]
        for j in range(source.shape[0]):
            value = source[j] * scales[j] + shifts[j]
            target[j] = value if value > 0 else value * slope


@numba.njit(cache=True, nogil=True)
def gradients(start, threads, x, upper, line, slope, moments, eps, own, out):
    """``out = scale * (g - level - (x - mean) * tilt)``, ``g = upper * leaky'(x * scale + shift)``.

    Returns the gradients of weight and bias.
    """
    parts = np.empty((_blocks(x), 2, x.shape[1]))
    in_parallel(start, threads, parts.shape[0], _gradient_sums, (x, upper, line, slope, parts))
    flow = _gradient_coefficients(parts, x.shape[0], moments, eps, own)
    in_parallel(start, threads, parts.shape[0], _gradient, (x, upper, line, slope, flow, out))
    return flow[3:]


@numba.njit(cache=True, nogil=True)
def _gradient_sums(block, x, upper, line, slope, out):
    """``out[block] = (sum of g, sum of g * x)``; see ``_sums``."""
    c = x.shape[1]
    begin, end = _bounds(block, x)
    slope = x.dtype.type(slope)
    scales, shifts = _repeat(line[0], x.dtype), _repeat(line[1], x.dtype)
    flat, flat_upper = x.reshape(-1), upper.reshape(-1)
    width = scales.shape[0]
    lanes = np.zeros((2, width))
    first, second = lanes[0], lanes[1]
    for at in range(begin, end, width):
        _fetch(_READ, flat, at + _AHEAD * width, width)
        _fetch(_READ, flat_upper, at + _AHEAD * width, width)
        stop = min(at + width, end)
        sweep, gradient = flat[at:stop], flat_upper[at:stop]
        for j in range(sweep.shape[0]):
            g = gradient[j] if sweep[j] * scales[j] + shifts[j] > 0 else gradient[j] * slope
            first[j] += np.float64(g)
            second[j] += np.float64(g) * np.float64(sweep[j])
    out[block] = 0
    for j in range(lanes.shape[1]):
        out[block, 0, j % c] += first[j]
        out[block, 1, j % c] += second[j]


@numba.njit(cache=True, nogil=True)
def _gradient(block, x, upper, line, slope, flow, out):
    begin, end = _bounds(block, x)
    slope = x.dtype.type(slope)
    scales, shifts = _repeat(line[0], x.dtype), _repeat(line[1], x.dtype)
    means, levels, tilts = _repeat(flow[0], x.dtype), _repeat(flow[1], x.dtype), _repeat(flow[2], x.dtype)
    flat, flat_upper, flat_out = x.reshape(-1), upper.reshape(-1), out.reshape(-1)
    width = scales.shape[0]
    for at in range(begin, end, width):
        _fetch(_WRITE, flat_out, at + _AHEAD * width, width)
        stop = min(at + width, end)
        source, gradients, target = flat[at:stop], flat_upper[at:stop], flat_out[at:stop]
        for j in range(source.shape[0]):
            g = gradients[j] if source[j] * scales[j] + shifts[j] > 0 else gradients[j] * slope
            target[j] = scales[j] * (g - levels[j] - (source[j] - means[j]) * tilts[j])
