"""Training of a judge that says which fragments belong together."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import nn

from sparseclust.clustering import AgglomerativeClusterer, FragmentJudge, FragmentPairs
from sparseclust.pipeline import Prediction
from sparseclust.training._graph import met_graph

# A wrong answer costs with the voxels that it moves, up to here.
_LARGE = 200


def judge_examples(
    predictions: Iterable[Prediction], clusterer: AgglomerativeClusterer, *, follow: bool = False
) -> Iterator[FragmentPairs]:
    """Collect the pairs of fragments that a judge has to learn from, event by event.

    Parameters
    ----------
    predictions : iterable of Prediction
        Of events that carry the truth, with edges; their labels play no part.
    clusterer : AgglomerativeClusterer
        Whose fragments these are, and for whose judge.
    follow : bool
        As for :meth:`~sparseclust.clustering.AgglomerativeClusterer.examples`.

    Yields
    ------
    FragmentPairs
        As :meth:`~sparseclust.clustering.AgglomerativeClusterer.examples`; put them together with
        :meth:`~sparseclust.clustering.FragmentPairs.concatenate`.

    Raises
    ------
    ValueError
        If an event carries no true instances, or the network scored no edges.
    """
    for number, prediction in enumerate(predictions):
        instance = prediction.event.instance
        if instance is None:
            raise ValueError(f"event {number} carries no true instances to learn from")
        rows, edges, affinity, voxels = met_graph(prediction)
        yield clusterer.examples(edges, affinity, instance[rows], **voxels, follow=follow)


def train_judge(
    examples: FragmentPairs,
    *,
    classes: Sequence[int],
    radii: Sequence[float],
    hidden: int = 128,
    epochs: int = 12,
    batch_size: int = 256,
    learning_rate: float = 3e-3,
    weight_decay: float = 0.02,
    dropout: float = 0.2,
    seed: int = 0,
    report: Callable[[int, float], object] | None = None,
) -> FragmentJudge:
    """Train a judge on pairs of fragments of which it is known whether they belong together.

    Parameters
    ----------
    examples : FragmentPairs
        Of thousands of events, from :func:`judge_examples`.
    classes, radii
        Those of the judge that the examples were collected for.
    hidden : int
        Width of the two hidden layers.
    epochs, batch_size, learning_rate, weight_decay, dropout
        Of the training: AdamW with one cycle of the learning rate.
    seed : int
        The same seed gives the same judge, on the same machine.
    report : callable, optional
        Called after each epoch, with its number and mean loss.

    Returns
    -------
    FragmentJudge

    Raises
    ------
    ValueError
        If there is no example of one of the two answers.

    Notes
    -----
    Binary cross-entropy, weighted with the root of the voxels of the smaller fragment, of 200 at most.
    100,000 pairs take a quarter of a minute on one core.

    Examples
    --------
    >>> import numpy as np
    >>> from sparseclust.clustering import FragmentPairs
    >>> from sparseclust.training import train_judge
    >>> rows = np.random.default_rng(0).normal(size=(9999, 2))
    >>> examples = FragmentPairs(rows, rows[:, 0] > 0, np.ones(9999, int))
    >>> judge = train_judge(examples, classes=(), radii=(8.0,), hidden=32)
    >>> judge(np.array([[2.0, 0.0], [-2.0, 0.0]])).round().tolist()
    [1.0, 0.0]
    """
    if len(np.unique(examples.same)) < 2:
        raise ValueError(
            "a judge learns from pairs that belong together and from others; of "
            f"{len(examples.same)} given {np.count_nonzero(examples.same)} do: do instances touch?"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mean, scale = examples.rows.mean(axis=0), examples.rows.std(axis=0)
        scale = np.where(scale > 1e-6, scale, 1.0)
        x = torch.from_numpy(np.clip((examples.rows - mean) / scale, -5.0, 5.0)).float()
        same = torch.from_numpy(examples.same).float()
        weight = torch.from_numpy(np.sqrt(np.minimum(examples.size, _LARGE))).float()
        weight /= weight.mean()
        network = _network(x.shape[1], hidden, dropout)
        steps = -(-len(x) // batch_size)
        optimizer = torch.optim.AdamW(network.parameters(), learning_rate, weight_decay=weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, learning_rate, total_steps=epochs * steps + 1
        )
        for epoch in range(epochs):
            total = 0.0
            for rows in torch.split(torch.randperm(len(x)), batch_size):
                loss = nn.functional.binary_cross_entropy_with_logits(
                    network(x[rows])[:, 0], same[rows], weight=weight[rows]
                )
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                schedule.step()
                total += float(loss.detach())
            if report is not None:
                report(epoch, total / steps)
    layers = [
        (layer.weight.detach().numpy().T.copy(), layer.bias.detach().numpy().copy())
        for layer in network
        if isinstance(layer, nn.Linear)
    ]
    return FragmentJudge(
        mean.astype(np.float32), scale.astype(np.float32), layers, tuple(classes), tuple(radii)
    )


def _network(width: int, hidden: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, 1),
    )
