# mypy: ignore-errors
# Compiled by Triton, whose language carries no types.
"""Triton kernels of the sparse convolution: implicit matrix products over the neighbours that exist.

A kernel sums in float32 and in a fixed order; no two programs write to the same place. Products of row and
row length are taken in 64 bits.
"""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["n", "volume"])
def convolve(
    feats,
    weight,
    rows,
    table,
    active,
    out,
    n,
    volume,
    c_in,
    c_out,
    stride_offset,
    stride_in,
    stride_out,
    STEPS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """``out[rows[p]] = sum_k feats[table[k, p]] @ weight[k]``, one block of places, one of columns.

    The loop over the block's offsets and the one over the input channels are a single loop, so that the loads
    of the next steps are under way while one is multiplied.
    """
    block = tl.program_id(0)
    place = block * ROWS + tl.arange(0, ROWS)
    inside = place < n
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    active += block.to(tl.int64) * (volume + 1)
    for step in range(tl.load(active) * STEPS):
        k = tl.load(active + 1 + step // STEPS).to(tl.int64)
        channel = step % STEPS * CHANNELS + tl.arange(0, CHANNELS)
        row = tl.load(table + k * n + place, mask=inside, other=-1)
        left = tl.load(
            feats + row.to(tl.int64)[:, None] * c_in + channel[None, :],
            mask=(row >= 0)[:, None] & (channel < c_in)[None, :],
            other=0.0,
        )
        right = tl.load(
            weight + k * stride_offset + channel[:, None] * stride_in + column[None, :] * stride_out,
            mask=(channel < c_in)[:, None] & (column < c_out)[None, :],
            other=0.0,
        )
        total = tl.dot(left, right, total, input_precision=PRECISION)
    row = tl.load(rows + place, mask=inside, other=0).to(tl.int64)
    tl.store(
        out + row[:, None] * c_out + column[None, :],
        total.to(out.dtype.element_ty),
        mask=inside[:, None] & (column < c_out)[None, :],
    )


@triton.jit(do_not_specialize=["volume", "chunk"])
def weight_gradient(
    feats,
    grad,
    source,
    target,
    splits,
    partial,
    volume,
    chunk,
    c_in,
    c_out,
    VOLUMES: tl.constexpr,
    PAIRS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """``partial[c] = sum of feats[source]^T grad[target]`` over the pairs of chunk c, one tile of it."""
    number = tl.program_id(0)
    k, begin, end = _chunk(splits, number, volume, chunk, VOLUMES)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for first in range(begin, end, PAIRS):
        pair = first + tl.arange(0, PAIRS)
        listed = pair < end
        left = tl.load(
            feats + tl.load(source + pair, mask=listed, other=0)[:, None] * c_in + row[None, :],
            mask=listed[:, None] & (row < c_in)[None, :],
            other=0.0,
        )
        right = tl.load(
            grad + tl.load(target + pair, mask=listed, other=0)[:, None] * c_out + column[None, :],
            mask=listed[:, None] & (column < c_out)[None, :],
            other=0.0,
        )
        total = tl.dot(tl.trans(left), right, total, input_precision=PRECISION)
    tl.store(
        partial + (number.to(tl.int64) * c_in + row[:, None]) * c_out + column[None, :],
        total,
        mask=(row < c_in)[:, None] & (column < c_out)[None, :] & (k < volume),
    )


@triton.jit(do_not_specialize=["volume", "chunk"])
def sum_chunks(partial, splits, out, volume, chunk, size, VOLUMES: tl.constexpr, BLOCK: tl.constexpr):
    """``out[k] = sum of partial[c]`` over the chunks of offset k, first to last."""
    k = tl.program_id(0)
    j = tl.arange(0, VOLUMES)
    chunks = _chunks(splits, j, volume, chunk)
    first = tl.sum(tl.where(j < k, chunks, 0))
    count = tl.sum(tl.where(j == k, chunks, 0))
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    partial += first.to(tl.int64) * size
    for _ in range(count):
        total += tl.load(partial + place, mask=place < size, other=0.0)
        partial += size
    tl.store(out + k.to(tl.int64) * size + place, total.to(out.dtype.element_ty), mask=place < size)


@triton.jit
def _chunks(splits, j, volume, chunk):
    """Count the chunks that the pairs of offset j are cut into; none beyond the last offset."""
    first = tl.load(splits + j, mask=j < volume, other=0)
    return (tl.load(splits + j + 1, mask=j < volume, other=0) - first + chunk - 1) // chunk


@triton.jit
def _chunk(splits, number, volume, chunk, VOLUMES: tl.constexpr):
    """Offset of a chunk, its first pair and the one behind its last; no pairs beyond the last chunk."""
    j = tl.arange(0, VOLUMES)
    chunks = _chunks(splits, j, volume, chunk)
    ends = tl.cumsum(chunks)
    k = tl.sum((ends <= number).to(tl.int32))
    here = tl.sum(tl.where(j == k, number - (ends - chunks), 0))
    inside = k < volume
    begin = tl.load(splits + k, mask=inside, other=0) + here * chunk
    return k, begin, tl.minimum(begin + chunk, tl.load(splits + k + 1, mask=inside, other=0))


@triton.jit(do_not_specialize=["n", "volume"])
def fill_table(source, target, splits, table, n, volume, VOLUMES: tl.constexpr, CHUNK: tl.constexpr):
    """``table[k, target] = source`` for the pairs of one chunk: a row occurs once under an offset."""
    k, begin, end = _chunk(splits, tl.program_id(0), volume, CHUNK, VOLUMES)
    pair = begin + tl.arange(0, CHUNK)
    listed = pair < end
    place = k.to(tl.int64) * n + tl.load(target + pair, mask=listed, other=0)
    tl.store(table + place, tl.load(source + pair, mask=listed, other=0).to(tl.int32), mask=listed)


@triton.jit(do_not_specialize=["n", "volume"])
def sign_rows(table, signature, n, volume, BLOCK: tl.constexpr):
    """Set one bit per offset under which a row has a neighbour; offsets 63 apart share a bit."""
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = row < n
    bits = tl.zeros((BLOCK,), tl.int64)
    for k in range(volume):
        met = tl.load(table + tl.cast(k, tl.int64) * n + row, mask=inside, other=-1) >= 0
        bits |= met.to(tl.int64) << (k % 63)
    tl.store(signature + row, bits, mask=inside)


@triton.jit(do_not_specialize=["n", "volume"])
def arrange_table(table, order, rows, arranged, active, n, volume, ROWS: tl.constexpr):
    """Bring a block of columns into order; list the offsets under which any of its rows has a neighbour."""
    block = tl.program_id(0)
    place = block * ROWS + tl.arange(0, ROWS)
    inside = place < n
    row = tl.load(order + place, mask=inside, other=0)
    tl.store(rows + place, row.to(tl.int32), mask=inside)
    active += block.to(tl.int64) * (volume + 1)
    count = 0
    for k in range(volume):
        start = tl.cast(k, tl.int64) * n
        neighbour = tl.load(table + start + row, mask=inside, other=-1)
        tl.store(arranged + start + place, neighbour, mask=inside)
        met = tl.max(neighbour) >= 0
        tl.store(active + 1 + count, k, mask=met)
        count += met.to(tl.int32)
    tl.store(active, count)


@triton.jit(do_not_specialize=["n", "levels"])
def find_neighbours(keys, steps, found, counts, n, levels, BLOCK: tl.constexpr):
    """Look up ``keys + steps[k]`` among the sorted keys by bisection; -1 where there is none."""
    block = tl.program_id(0)
    k = tl.program_id(1)
    place = block * BLOCK + tl.arange(0, BLOCK)
    inside = place < n
    wanted = tl.load(keys + place, mask=inside, other=0) + tl.load(steps + k)
    first = tl.zeros((BLOCK,), tl.int32)
    last = tl.zeros((BLOCK,), tl.int32) + n
    for _ in range(levels):
        middle = first + (last - first) // 2
        below = tl.load(keys + middle, mask=inside & (middle < n), other=0) < wanted
        first = tl.where((first < last) & below, middle + 1, first)
        last = tl.where((first < last) & (below == 0), middle, last)
    met = inside & (first < n)
    met &= tl.load(keys + first, mask=met, other=0) == wanted
    tl.store(found + k.to(tl.int64) * n + place, tl.where(met, first, -1), mask=inside)
    tl.store(counts + k * tl.num_programs(0) + block, tl.sum(met.to(tl.int32)))


@triton.jit(do_not_specialize=["n"])
def list_pairs(found, order, counts, ends, source, target, n, BLOCK: tl.constexpr):
    """Write the pairs of one block under one offset where those of the blocks before end."""
    block = tl.program_id(0)
    k = tl.program_id(1)
    place = block * BLOCK + tl.arange(0, BLOCK)
    row = tl.load(found + k.to(tl.int64) * n + place, mask=place < n, other=-1)
    met = row >= 0
    number = k * tl.num_programs(0) + block
    pair = tl.load(ends + number) - tl.load(counts + number) + tl.cumsum(met.to(tl.int32)) - 1
    tl.store(source + pair, tl.load(order + row, mask=met, other=0), mask=met)
    tl.store(target + pair, tl.load(order + place, mask=met, other=0), mask=met)
