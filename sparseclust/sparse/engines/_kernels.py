"""Compiled convolution: tiles of the product stay in vector registers, rows are read where they lie.

A tile is ``ROWS`` rows by one to three vectors of columns, as many sums as fit into the registers of the
machine. Compilers do not find this form by themselves, so the two tiles are written as LLVM instructions.
"""

import contextlib

import numba
import numpy as np
from llvmlite import binding, ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic

from sparseclust.sparse.engines._kernels_parallel import in_parallel

# 32 registers of 64 bytes, or 16 of 32 bytes.
_WIDE = bool(binding.get_host_cpu_features().get("avx512f"))
VECTOR_BYTES = 64 if _WIDE else 32
ROWS = 8 if _WIDE else 4
UNROLL = 4  # input columns between two tests for the end of a row
_TALL = 2 * ROWS  # rows of a gradient that is one vector wide
_AHEAD = 16  # pairs between the one being multiplied and the one whose row is fetched into the cache
_INDEX = ir.IntType(64)


class _Matrix:
    """Address arithmetic on a C-contiguous matrix within generated code."""

    def __init__(self, context, builder, kind, value):
        array = context.make_array(kind)(context, builder, value)
        self.builder = builder
        self.data = array.data
        self.columns = cgutils.unpack_tuple(builder, array.shape)[1]
        self.bytes = kind.dtype.bitwidth // 8
        self.scalar = context.get_data_type(kind.dtype)
        self.vector = ir.VectorType(self.scalar, VECTOR_BYTES // self.bytes)

    def address(self, row, column):
        builder = self.builder
        return builder.gep(self.data, [builder.add(builder.mul(row, self.columns), column)])

    def vector_at(self, address, i):
        place = self.builder.gep(address, [_INDEX(i * self.vector.count)])
        return self.builder.bitcast(place, self.vector.as_pointer())

    def load(self, address, i):
        """Read the i-th vector behind an address."""
        return self.builder.load(self.vector_at(address, i), align=self.bytes)

    def store(self, value, address, i):
        self.builder.store(value, self.vector_at(address, i), align=self.bytes)

    def zero(self):
        """Reserve a vector, which becomes a register, and set it to zero."""
        place = cgutils.alloca_once(self.builder, self.vector)
        self.builder.store(ir.Constant(self.vector, None), place)
        return place

    def spread(self, address, i):
        """Read the i-th number behind an address into all lanes of a vector."""
        builder, nothing = self.builder, ir.Constant(self.vector, ir.Undefined)
        number = builder.load(builder.gep(address, [_INDEX(i)]))
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), self.vector.count), [0] * self.vector.count)
        first = builder.insert_element(nothing, number, ir.IntType(32)(0))
        return builder.shuffle_vector(first, nothing, lanes)


class _Columns:
    """Vectors side by side in the rows of a matrix; the last may reach over the end of a row.

    What lies there is neither read nor written.
    """

    def __init__(self, matrix, column, width):
        self.matrix, self.width, builder = matrix, width, matrix.builder
        count = matrix.vector.count
        left = builder.sub(matrix.columns, builder.add(column, _INDEX((width - 1) * count)))
        self.fit = builder.icmp_signed(">=", left, _INDEX(count))
        numbers, first = ir.VectorType(_INDEX, count), ir.VectorType(ir.IntType(32), count)
        nothing = ir.Constant(numbers, ir.Undefined)
        ends = builder.insert_element(nothing, left, ir.IntType(32)(0))
        ends = builder.shuffle_vector(ends, nothing, ir.Constant(first, [0] * count))
        self.lanes = builder.icmp_signed("<", ir.Constant(numbers, list(range(count))), ends)

    def load(self, address, fit=False):
        """Read the vectors behind an address, zeros beyond the end of the row; ``fit``: they end before."""
        last = self.matrix.load(address, self.width - 1) if fit else self._load_last(address)
        return [self.matrix.load(address, i) for i in range(self.width - 1)] + [last]

    def add(self, values, address, fit=False):
        """Add to the vectors behind an address."""
        builder = self.matrix.builder
        for i, (old, value) in enumerate(zip(self.load(address, fit), values)):
            total = builder.fadd(old, value)
            if fit or i < self.width - 1:
                self.matrix.store(total, address, i)
            else:
                self._store_last(total, address)

    def _load_last(self, address):
        vector = self.matrix.vector
        return self._masked("load", vector, address, after=[ir.Constant(vector, None)])

    def _store_last(self, value, address):
        self._masked("store", ir.VoidType(), address, before=[value])

    def _masked(self, name, result, address, before=(), after=()):
        matrix = self.matrix
        pointer = matrix.vector_at(address, self.width - 1)
        arguments = [*before, pointer, ir.IntType(32)(matrix.bytes), self.lanes, *after]
        vector = f"v{matrix.vector.count}f{8 * matrix.bytes}"
        kind = ir.FunctionType(result, [a.type for a in arguments])
        name = f"llvm.masked.{name}.{vector}.p0{vector}"
        function = cgutils.get_or_insert_function(matrix.builder.module, kind, name)
        return matrix.builder.call(function, arguments)


def _twice(builder, condition, generate):
    """Generate code for a condition that holds, and for one that does not: each can leave out its tests."""
    with builder.if_else(condition) as (true, false):
        with true:
            generate(True)
        with false:
            generate(False)


def _add_product(builder, total, a, b):
    """``total += a * b`` in one instruction where there is one."""
    product = builder.fmul(a, b, flags=("contract",))
    builder.store(builder.fadd(builder.load(total), product, flags=("contract",)), total)


def _row(context, builder, kind, value, place):
    """Read one entry of a list of rows, int32 or int64."""
    array = context.make_array(kind)(context, builder, value)
    return builder.sext(builder.load(builder.gep(array.data, [place])), _INDEX)


@intrinsic
def _fetch_rows(typing, matrix, rows, first):
    """Ask for the next ``ROWS`` rows of a list, so that they are in the cache when their turn comes."""
    signature = types.void(matrix, rows, first)

    def generate(context, builder, signature, arguments):
        kinds = signature.args
        x = _Matrix(context, builder, kinds[0], arguments[0])
        byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        starts = []
        for r in range(ROWS):
            row = _row(context, builder, kinds[1], arguments[1], builder.add(arguments[2], _INDEX(r)))
            starts.append(builder.bitcast(x.address(row, _INDEX(0)), byte))
        size = builder.mul(x.columns, _INDEX(x.bytes))
        with cgutils.for_range_slice(builder, _INDEX(0), size, _INDEX(64), intp=_INDEX) as (at, _):
            for start in starts:
                builder.call(prefetch, [builder.gep(start, [at]), flag(0), flag(3), flag(1)])
        return context.get_dummy_value()

    return signature, generate


@intrinsic(prefer_literal=True)
def _convolve_tile(typing, vectors, feats, weight, source, target, first, count, column, start, out):
    """``out[target[p] - start, columns] += feats[source[p]] @ weight[:, columns]``, ``count`` p from first.

    ``count`` is at most ``ROWS``. The columns of ``out`` are whole vectors; those of ``weight`` need not be.
    """
    signature = types.void(vectors, feats, weight, source, target, first, count, column, start, out)

    def generate(context, builder, signature, arguments):
        kinds = signature.args
        width = kinds[0].literal_value
        x, w, y = (_Matrix(context, builder, kinds[i], arguments[i]) for i in (1, 2, 9))
        first, count, column, start = arguments[5:9]
        factors_at = _Columns(w, column, width)

        def multiply(whole, fit):
            addresses, sums = [], []
            for r in range(ROWS):
                exists = builder.icmp_signed("<", _INDEX(r), count)
                # A tile with rows to spare computes its first row again, and drops it.
                place = builder.add(
                    first, _INDEX(r) if whole else builder.select(exists, _INDEX(r), _INDEX(0))
                )
                addresses.append(x.address(_row(context, builder, kinds[3], arguments[3], place), _INDEX(0)))
                sums.append([x.zero() for _ in range(width)])
            with cgutils.for_range_slice(builder, _INDEX(0), x.columns, _INDEX(UNROLL), intp=_INDEX) as (
                at,
                _,
            ):
                for j in range(UNROLL):
                    here = w.address(builder.add(at, _INDEX(j)), column)
                    factors = factors_at.load(here, fit)
                    for r in range(ROWS):
                        number = x.spread(builder.gep(addresses[r], [at]), j)
                        for i in range(width):
                            _add_product(builder, sums[r][i], number, factors[i])
            for r in range(ROWS):
                exists = builder.icmp_signed("<", _INDEX(r), count)
                with contextlib.nullcontext() if whole else builder.if_then(exists):
                    place = builder.add(first, _INDEX(r))
                    row = builder.sub(_row(context, builder, kinds[4], arguments[4], place), start)
                    there = y.address(row, column)
                    for i in range(width):
                        y.store(builder.fadd(y.load(there, i), builder.load(sums[r][i])), there, i)

        _twice(
            builder,
            builder.icmp_signed("==", count, _INDEX(ROWS)),
            lambda whole: _twice(builder, factors_at.fit, lambda fit: multiply(whole, fit)),
        )
        return context.get_dummy_value()

    return signature, generate


@intrinsic(prefer_literal=True)
def _gradient_tile(typing, vectors, height, feats, grad, source, target, first, last, row, column, out):
    """``out[rows, columns] += feats[source[p], rows]^T @ grad[target[p], columns]``, first <= p < last.

    There are ``height`` rows.
    """
    signature = types.void(vectors, height, feats, grad, source, target, first, last, row, column, out)

    def generate(context, builder, signature, arguments):
        kinds = signature.args
        width, height = kinds[0].literal_value, kinds[1].literal_value
        x, g, y = (_Matrix(context, builder, kinds[i], arguments[i]) for i in (2, 3, 10))
        first, last, row, column = arguments[6:10]
        factors_at, sums_at = _Columns(g, column, width), _Columns(y, column, width)

        def multiply(fit):
            sums = [[x.zero() for _ in range(width)] for _ in range(height)]
            with cgutils.for_range_slice(builder, first, last, _INDEX(1), intp=_INDEX) as (p, _):
                left = x.address(_row(context, builder, kinds[4], arguments[4], p), row)
                right = g.address(_row(context, builder, kinds[5], arguments[5], p), column)
                factors = factors_at.load(right, fit)
                for r in range(height):
                    number = x.spread(left, r)
                    for i in range(width):
                        _add_product(builder, sums[r][i], number, factors[i])
            for r in range(height):
                there = y.address(builder.add(row, _INDEX(r)), column)
                sums_at.add([builder.load(total) for total in sums[r]], there, fit)

        _twice(builder, sums_at.fit, multiply)
        return context.get_dummy_value()

    return signature, generate


@numba.njit(cache=True, nogil=True)
def ascending(rows, splits):
    """Whether the rows of each offset ascend."""
    for k in range(splits.shape[0] - 1):
        descents = 0
        for j in range(splits[k] + 1, splits[k + 1]):
            descents += rows[j] < rows[j - 1]
        if descents:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def block_starts(target, splits, block, blocks):
    """``starts[b, k]`` is the first pair of offset k that leads to row ``b * block`` or later."""
    starts = np.empty((blocks + 1, splits.shape[0] - 1), np.int64)
    for k in range(starts.shape[1]):
        rows = target[splits[k] : splits[k + 1]]
        for b in range(blocks):
            starts[b, k] = splits[k] + np.searchsorted(rows, b * block)
        starts[blocks, k] = splits[k + 1]
    return starts


@numba.njit(cache=True, nogil=True)
def convolve(start, threads, feats, weight, source, target, starts, block, out):
    """Set all rows to their sums of ``feats[source] @ weight[k]``, block by block.

    The columns of ``feats`` are multiples of ``UNROLL``.
    """
    blocks = starts.shape[0] - 1
    in_parallel(start, threads, blocks, convolve_block, (feats, weight, source, target, starts, block, out))


@numba.njit(cache=True, nogil=True)
def convolve_block(b, feats, weight, source, target, starts, block, out):
    """Set the rows of one block: they, and the inputs next to them, stay in the cache for all offsets.

    Rows that are no whole vectors are summed up in longer ones, where none lies across two cache lines.
    """
    lanes, start = VECTOR_BYTES // out.itemsize, b * block
    rows = out[start : start + block]
    sums = _aligned(rows) if out.shape[1] % lanes else rows
    sums[:] = 0
    for k in range(weight.shape[0]):
        first, last, matrix = starts[b, k], starts[b + 1, k], weight[k]
        column = 0
        while column < out.shape[1]:
            vectors = _vectors_at_once(out.shape[1] - column, lanes)
            for p in range(first, last, ROWS):
                count = min(ROWS, last - p)
                if column == 0 and p + _AHEAD + ROWS <= source.shape[0]:
                    _fetch_rows(feats, source, p + _AHEAD)
                if vectors == 3:
                    _convolve_tile(3, feats, matrix, source, target, p, count, column, start, sums)
                elif vectors == 2:
                    _convolve_tile(2, feats, matrix, source, target, p, count, column, start, sums)
                else:
                    _convolve_tile(1, feats, matrix, source, target, p, count, column, start, sums)
            column += vectors * lanes
    if sums.shape[1] > rows.shape[1]:
        rows[:] = sums[:, : rows.shape[1]]


@numba.njit(cache=True, nogil=True)
def _aligned(like):
    """Return a matrix of as many rows, each of them whole vectors that begin with a cache line."""
    lanes = VECTOR_BYTES // like.itemsize
    columns = (like.shape[1] + lanes - 1) // lanes * lanes
    size = like.shape[0] * columns
    raw = np.empty(size + lanes, like.dtype)
    skipped = -raw.ctypes.data % VECTOR_BYTES // like.itemsize
    return raw[skipped : skipped + size].reshape(like.shape[0], columns)


@numba.njit(cache=True, nogil=True)
def weight_gradient(start, threads, feats, grad, source, target, starts, out):
    """Set ``out[k]`` to the sum of ``feats[source]^T @ grad[target]``.

    The columns of ``feats`` are multiples of ``UNROLL``.
    """
    in_parallel(
        start, threads, threads, weight_gradient_part, (feats, grad, source, target, starts, threads, out)
    )


@numba.njit(cache=True, nogil=True)
def weight_gradient_part(part, feats, grad, source, target, starts, parts, out):
    """Do it for the offsets of one part."""
    lanes = VECTOR_BYTES // out.itemsize
    own = np.flatnonzero(_deal(starts[-1] - starts[0], parts) == part)
    for k in own:
        out[k] = 0
    for b in range(starts.shape[0] - 1):
        for k in own:
            total, end = out[k], starts[b + 1, k]
            for first in range(starts[b, k], end, 96):
                last = min(first + 96, end)
                # The first tile would wait for each of these rows, the others find them in the cache.
                for p in range(first, last - ROWS + 1, ROWS):
                    _fetch_rows(feats, source, p)
                    _fetch_rows(grad, target, p)
                column = 0
                while column < grad.shape[1]:
                    vectors = _vectors_at_once(grad.shape[1] - column, lanes)
                    row = 0
                    while row < feats.shape[1]:
                        left = feats.shape[1] - row
                        height = _TALL if vectors == 1 and left >= _TALL else ROWS if left >= ROWS else UNROLL
                        if height == _TALL:
                            _gradient_tile(
                                1, _TALL, feats, grad, source, target, first, last, row, column, total
                            )
                        elif height == ROWS:
                            if vectors == 3:
                                _gradient_tile(
                                    3, ROWS, feats, grad, source, target, first, last, row, column, total
                                )
                            elif vectors == 2:
                                _gradient_tile(
                                    2, ROWS, feats, grad, source, target, first, last, row, column, total
                                )
                            else:
                                _gradient_tile(
                                    1, ROWS, feats, grad, source, target, first, last, row, column, total
                                )
                        elif vectors == 3:
                            _gradient_tile(
                                3, UNROLL, feats, grad, source, target, first, last, row, column, total
                            )
                        elif vectors == 2:
                            _gradient_tile(
                                2, UNROLL, feats, grad, source, target, first, last, row, column, total
                            )
                        else:
                            _gradient_tile(
                                1, UNROLL, feats, grad, source, target, first, last, row, column, total
                            )
                        row += height
                    column += vectors * lanes


@numba.njit(cache=True, nogil=True)
def _deal(counts, parts):
    """Part of each offset: the largest first, each to the part that has the fewest pairs so far."""
    taken = np.zeros(parts, np.int64)
    part = np.empty(counts.shape[0], np.int64)
    for k in np.argsort(-counts, kind="mergesort"):
        part[k] = np.argmin(taken)
        taken[part[k]] += counts[k]
    return part


@numba.njit(cache=True, nogil=True)
def _vectors_at_once(columns, lanes):
    """Vectors that hold these columns, up to three of them; four are two and two."""
    left = (columns + lanes - 1) // lanes
    return min(left, 2) if left < 3 or left == 4 else 3
