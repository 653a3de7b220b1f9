"""How many threads the compiled loops may use."""

import torch


def threads_for(work: int, share: int) -> int:
    """As many threads as torch uses, if there is a ``share`` of the work for each."""
    return min(torch.get_num_threads(), max(1, work // share))
