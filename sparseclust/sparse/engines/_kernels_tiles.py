"""Tiles of a product whose sums stay in vector registers, for the compiled convolution.

A tile is ``ROWS`` rows by one to three vectors of columns, as many sums as fit into the registers of the
machine. Compilers do not find this form by themselves, so the two tiles are written as LLVM instructions.
"""

import contextlib
import itertools

from llvmlite import binding, ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic

# 32 registers of 64 bytes, or 16 of 32 bytes.
_WIDE = bool(binding.get_host_cpu_features().get("avx512f"))
VECTOR_BYTES = 64 if _WIDE else 32
ROWS = 8 if _WIDE else 4
UNROLL = 4  # input columns between two tests for the end of a row
TALL = 2 * ROWS  # rows of a gradient that is one vector wide
WIDTHS = (1, 2, 3)  # vectors of a tile
SHAPES = sorted({(1, TALL), *itertools.product(WIDTHS, (ROWS, UNROLL))})  # vectors, rows of a gradient
_LINE = 64  # bytes that come from memory at once
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


def fetch(builder, starts, size, *, write=False):
    """Generate code that asks for so many bytes behind each address; where no memory is, nothing happens."""
    byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
    prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
    starts = [builder.bitcast(start, byte) for start in starts]
    with cgutils.for_range_slice(builder, _INDEX(0), size, _INDEX(_LINE), intp=_INDEX) as (at, _):
        for start in starts:
            builder.call(prefetch, [builder.gep(start, [at]), flag(int(write)), flag(3), flag(1)])


@intrinsic
def fetch_rows(typing, matrix, rows, first):
    """Ask for the next ``ROWS`` rows of a list, so that they are in the cache when their turn comes."""
    signature = types.void(matrix, rows, first)

    def generate(context, builder, signature, arguments):
        kinds = signature.args
        x = _Matrix(context, builder, kinds[0], arguments[0])
        starts = []
        for r in range(ROWS):
            row = _row(context, builder, kinds[1], arguments[1], builder.add(arguments[2], _INDEX(r)))
            starts.append(x.address(row, _INDEX(0)))
        fetch(builder, starts, builder.mul(x.columns, _INDEX(x.bytes)))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def convolve_tile(typing, vectors, feats, weight, source, target, first, count, column, start, out):
    """``out[target[p] - start, columns] += feats[source[p]] @ weight[:, columns]``, ``count`` p from first.

    ``count`` is at most ``ROWS``. The columns of ``out`` are whole vectors; those of ``weight`` need not be.
    """
    signature = types.void(vectors, feats, weight, source, target, first, count, column, start, out)

    def generate(context, builder, signature, arguments):
        kinds = signature.args
        x, w, y = (_Matrix(context, builder, kinds[i], arguments[i]) for i in (1, 2, 9))
        first, count, column, start = arguments[5:9]
        is_whole = builder.icmp_signed("==", count, _INDEX(ROWS))

        def tile(width):
            factors_at = _Columns(w, column, width)

            def multiply(whole, fit):
                addresses, sums = [], []
                for r in range(ROWS):
                    exists = builder.icmp_signed("<", _INDEX(r), count)
                    # A tile with rows to spare computes its first row again, and drops it.
                    place = builder.add(
                        first, _INDEX(r) if whole else builder.select(exists, _INDEX(r), _INDEX(0))
                    )
                    addresses.append(
                        x.address(_row(context, builder, kinds[3], arguments[3], place), _INDEX(0))
                    )
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
                is_whole,
                lambda whole: _twice(builder, factors_at.fit, lambda fit: multiply(whole, fit)),
            )

        for width in WIDTHS:
            with builder.if_then(builder.icmp_signed("==", arguments[0], _INDEX(width))):
                tile(width)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def gradient_tile(typing, vectors, height, feats, grad, source, target, first, last, row, column, out):
    """``out[rows, columns] += feats[source[p], rows]^T @ grad[target[p], columns]``, first <= p < last.

    There are ``vectors`` of columns and ``height`` rows, one of ``SHAPES``.
    """
    signature = types.void(vectors, height, feats, grad, source, target, first, last, row, column, out)

    def generate(context, builder, signature, arguments):
        kinds = signature.args
        x, g, y = (_Matrix(context, builder, kinds[i], arguments[i]) for i in (2, 3, 10))
        first, last, row, column = arguments[6:10]

        def tile(width, height):
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

        for width, height in SHAPES:
            of_width = builder.icmp_signed("==", arguments[0], _INDEX(width))
            of_height = builder.icmp_signed("==", arguments[1], _INDEX(height))
            with builder.if_then(builder.and_(of_width, of_height)):
                tile(width, height)
        return context.get_dummy_value()

    return signature, generate
