"""Random inputs that tests of several files share."""

import itertools

import numpy as np
from hypothesis import strategies as st

RULES = list(itertools.product(("greedy", "argmax"), ("noise", "nearest")))


@st.composite
def problems(draw):
    """Arguments of cluster_embeddings, with ties, duplicates, zero widths and group ids of any size."""
    n, d = draw(st.integers(0, 60)), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    lattice = rng.integers(-3, 4, (n, d)) / 4
    x = lattice if draw(st.booleans()) else rng.normal(size=(n, d)) * 10.0 ** rng.integers(-2, 3, (n, 1))
    scale = draw(st.sampled_from([1e-160, 1e-8, 1.0, 1e150] if dtype is np.float64 else [1e-8, 1.0, 1e8]))
    widths = draw(st.sampled_from([[0.0, 0.25, 0.5], [0.1, 0.3], [1e-4, 1e-2, 1.0], [5.0], [0.0]]))
    margins = rng.choice(widths, draw(st.sampled_from([(n,), (n, 1), (n, d)])))
    groups = draw(st.sampled_from([None, [0], [-3, 2**40, 7], list(range(20))]))
    return {
        "embeddings": (x * scale).astype(dtype),
        "margins": (margins * scale).astype(dtype),
        "seediness": rng.choice([0.0, 0.25, 0.5, 0.75, 1.0, rng.random()], n).astype(dtype),
        "group": None if groups is None else rng.choice(groups, n),
        "seed_threshold": draw(st.sampled_from([0.0, 0.5, 0.9])),
        "kernel_threshold": draw(
            st.sampled_from([0.01, float(np.exp(-0.5)), 0.5, float(np.exp(-2.0)), 0.99])
        ),
        "min_size": draw(st.integers(1, 4)),
    }
