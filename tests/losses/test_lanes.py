"""The functions of vectors against those of numpy: their errors in units of rounding."""

import numba
import numpy as np
import pytest
from numba.core import types
from numba.extending import intrinsic

from sparseclust.losses import _kernels_lanes as _lanes
from sparseclust.losses._kernels_lanes import INDEX, Rows


@intrinsic(prefer_literal=True)
def _one_vector(typing, name, x, out):
    def generate(context, builder, signature, arguments):
        rows = [Rows(context, builder, signature.args[i], arguments[i]) for i in (1, 2)]
        lanes = rows[0].load(0, INDEX(0))
        if signature.args[0].literal_value == "exponential":
            power, fraction = _lanes.exponential(lanes)
            rows[1].store(power.times_plus(fraction, power), 0, INDEX(0))
        elif signature.args[0].literal_value == "logarithm":
            rows[1].store(_lanes.logarithm(lanes), 0, INDEX(0))
        else:
            rows[1].write(_lanes.log_of_product(lanes.widened()), 0, 0)
        return context.get_dummy_value()

    return types.void(name, x, out), generate


@numba.njit
def _exponential(x, out):
    _one_vector("exponential", x, out)


@numba.njit
def _logarithm(x, out):
    _one_vector("logarithm", x, out)


@numba.njit
def _log_of_product(x, out):
    _one_vector("log_of_product", x, out)


def _apply(function, values):
    out = np.empty_like(values)
    lanes = _lanes.VECTOR_BYTES // values.itemsize
    for start in range(0, len(values), lanes):
        part = np.zeros(lanes, values.dtype)
        part[: len(values[start : start + lanes])] = values[start : start + lanes]
        result = np.empty_like(part)
        function(part, result)
        out[start : start + lanes] = result[: len(out[start : start + lanes])]
    return out


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exponential(dtype, rng):
    x = np.concatenate([[0, 0.5, 1, 60], rng.uniform(0, 60, 5000), rng.uniform(0, 1, 1000)]).astype(dtype)
    exact = np.exp2(-x.astype(np.longdouble))
    assert np.abs(_apply(_exponential, x) / exact - 1).max() < 3 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logarithm(dtype, rng):
    q = np.concatenate([[1e-9, 0.5, 0.75, 1], rng.uniform(0, 1, 5000), 10 ** rng.uniform(-9, 0, 1000)])
    q = q.astype(dtype)
    exact = np.log(q.astype(np.longdouble))
    error = np.abs(_apply(_logarithm, q) - exact)
    assert (error <= 3 * np.finfo(dtype).eps * np.maximum(np.abs(exact), 1e-3)).all()
    assert _apply(_logarithm, np.ones(1, dtype))[0] == 0


def test_log_of_product(rng):
    lanes = _lanes.VECTOR_BYTES // 8
    factors = 10 ** rng.uniform(-300, 0, lanes)  # whose product is no number of this type
    out = np.empty(lanes)
    _log_of_product(factors, out)
    assert out[0] == pytest.approx(np.log(factors).sum(), rel=1e-15)
    factors[1] = np.nan
    _log_of_product(factors, out)
    assert np.isnan(out[0])
