"""Tensors in, tensors out; and no torch needed without them."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import sparseclust.clustering as sc

COORDS = np.array([[0, 0], [0, 1], [5, 5]], np.int32)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_embeddings_as_tensors_with_gradients(dtype):
    x = torch.rand(50, 3, dtype=dtype, requires_grad=True)
    margins, seediness = torch.rand(50, 1, dtype=dtype), torch.rand(50, dtype=dtype)
    labels = sc.cluster_embeddings(x, margins, seediness, group=torch.arange(50) % 2, seed_threshold=0.5)
    assert isinstance(labels, torch.Tensor)
    assert labels.dtype == torch.int64
    expected = sc.cluster_embeddings(
        *(t.detach().double().numpy() for t in (x, margins, seediness)),
        group=np.arange(50) % 2,
        seed_threshold=0.5,
    )
    assert np.array_equal(labels.numpy(), expected)


@pytest.mark.parametrize(
    "call",
    [
        lambda wrap: sc.gaussian_kernel(wrap(COORDS / 3), [0.0, 0.0], 1.0),
        lambda wrap: sc.neighbour_edges(wrap(COORDS)),
        lambda wrap: sc.connected_components(wrap(COORDS)),
        lambda wrap: sc.dbscan_voxels(COORDS, min_samples=2, group=wrap(np.zeros(3, np.int64))),
        lambda wrap: sc.split_disconnected(wrap(np.zeros(3, np.int64)), COORDS),
        lambda wrap: sc.GaussianKernelClusterer().fit_predict(wrap(COORDS / 3), np.ones(3), np.ones(3)),
        lambda wrap: sc.AffinityGraphClusterer().fit_predict(wrap(np.array([[0], [1]])), [0.9], n=3),
    ],
)
def test_every_public_function_follows_its_input(call):
    array, tensor = call(np.asarray), call(torch.from_numpy)
    assert isinstance(array, np.ndarray)
    assert isinstance(tensor, torch.Tensor)
    assert tensor.device.type == "cpu"
    assert np.array_equal(tensor.numpy(), array)


def test_clustering_works_where_torch_cannot_be_imported():
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from sparseclust.clustering import cluster_embeddings, connected_components\n"
        "assert cluster_embeddings([[0.0]], [1.0], [1.0]).tolist() == [0]\n"
        "assert connected_components([[0], [1], [5]]).tolist() == [0, 0, 1]\n"
        "assert 'sklearn' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
