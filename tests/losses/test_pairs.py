"""Ragged pairs: every pair once, whatever the chunk."""

import pytest
import torch

from sparseclust.losses._pairs import sum_over_pairs


@pytest.mark.parametrize("max_pairs", [1, 2, 3, 5, 8, 100])
def test_every_pair_is_visited_once(max_pairs: int) -> None:
    first, count = torch.tensor([3, 0, 5, 1, 0]), torch.tensor([2, 0, 1, 5, 3])
    seen: list[tuple[int, int]] = []

    def term(row: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
        seen.extend(zip(row.tolist(), column.tolist(), strict=True))
        return row.new_zeros(())

    sum_over_pairs(term, first, count, max_pairs=max_pairs)
    assert seen == [(i, first[i].item() + j) for i in range(5) for j in range(count[i])]


def test_chunks_are_bounded() -> None:
    sizes: list[int] = []

    def term(row: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
        sizes.append(len(row))
        return row.new_zeros(())

    sum_over_pairs(term, torch.zeros(1000, dtype=torch.long), torch.full((1000,), 7), max_pairs=70)
    assert sum(sizes) == 7000
    assert max(sizes) < 70 + 7


def test_no_pair() -> None:
    none = torch.zeros(4, dtype=torch.long)
    assert sum_over_pairs(lambda row, column: row.sum(), none, none) is None
    assert sum_over_pairs(lambda row, column: row.sum(), none[:0], none[:0]) is None
