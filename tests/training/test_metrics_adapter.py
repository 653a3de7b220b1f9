"""The torchmetrics adapter: equal to the functions it wraps, for any split over updates and processes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sparseclust.metrics import score_events, summarize_scores
from sparseclust.training import PartitionMetric

N_EVENTS = 7


def points():
    """Events of unequal size, with classes; the same in every process."""
    rng = np.random.default_rng(3)
    event = np.repeat(np.arange(N_EVENTS), [5, 40, 1, 30, 12, 60, 2])
    true, pred, semantic = (rng.integers(k, size=len(event)) for k in (4, 3, 3))
    return tuple(map(torch.from_numpy, (true, pred, event, semantic)))


def part(*events):
    """Points of some events, which are numbered from 0 as a data loader does."""
    true, pred, event, semantic = points()
    chosen = torch.isin(event, torch.tensor(events))
    number = torch.searchsorted(torch.tensor(events), event[chosen])
    return true[chosen], pred[chosen], number, semantic[chosen]


def expected(by, weight):
    true, pred, event, semantic = (column.numpy() for column in points())
    summary = summarize_scores(score_events(true, pred, event=event, semantic=semantic), by=by, weight=weight)
    names = ("ari", "purity", "efficiency", "sbd", "best_dice_true", "best_dice_pred")
    return {
        name if by is None else f"{name}/{row['semantic']}": row[name]["mean"]
        for row in summary
        for name in names
    }


def values(metric):
    return {name: value.item() for name, value in metric.compute().items()}


@pytest.mark.parametrize("by", [None, "semantic"])
@pytest.mark.parametrize("weight", ["event", "cluster", "point"])
def test_updates_add_up_to_one_table(by, weight):
    metric = PartitionMetric(by=by, weight=weight)
    for events in ((0, 1), (2,), (3, 4, 5, 6)):
        metric.update(*part(*events))
    assert values(metric) == pytest.approx(expected(by, weight), rel=1e-14)


def test_only_scores_are_kept():
    metric = PartitionMetric()
    metric.update(*part(1, 5))
    assert [tuple(state.shape) for state in metric.records] == [(6, 11)]  # (event, class) by fields


def test_forward_scores_the_batch_and_goes_on():
    metric = PartitionMetric()
    metric(*part(0, 1))
    batch = metric(*part(5))
    alone = PartitionMetric()
    alone.update(*part(5))
    assert batch == alone.compute()
    metric.update(*part(2, 3, 4, 6))
    assert values(metric) == pytest.approx(expected(None, "event"), rel=1e-14)


def test_reset_forgets():
    metric = PartitionMetric()
    metric.update(*part(0, 1, 2))
    metric.compute()
    metric.reset()
    metric.update(*part(5))
    alone = PartitionMetric()
    alone.update(*part(5))
    assert values(metric) == values(alone)


def test_no_points_add_nothing():
    metric = PartitionMetric()
    metric.update(*part())
    assert all(map(np.isnan, values(metric).values()))
    metric.update(*part(*range(N_EVENTS)))
    assert values(metric) == pytest.approx(expected(None, "event"), rel=1e-14)
    nothing = PartitionMetric(by="semantic")
    nothing.update(*part())
    assert nothing.compute() == {}


def test_without_classes_an_event_is_one_row():
    true, pred, event, _ = points()
    metric = PartitionMetric(by="semantic")
    metric.update(true, pred, event)
    table = score_events(true.numpy(), pred.numpy(), event=event.numpy())
    assert metric.compute()["sbd/-1"].item() == pytest.approx(table["sbd"].mean(), rel=1e-14)


def test_mistakes_are_refused_at_once():
    with pytest.raises(ValueError, match="weight must be one of"):
        PartitionMetric(weight="voxel")
    with pytest.raises(ValueError, match="by must be"):
        PartitionMetric(by="event")
    true, pred, event, _ = points()
    with pytest.raises(ValueError, match="labels_true 150, labels_pred 149"):
        PartitionMetric().update(true, pred[1:], event)


# Which events each of the two processes sees, update by update.
SHARES = {
    "uneven": ([(0, 1), (2, 5)], [(3, 4, 6)]),
    "one without an event": ([(0, 1, 2), (3, 4, 5, 6)], [()]),
    "one without an update": ([tuple(range(N_EVENTS))], []),
}


def _process(rank, folder):
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    results = {}
    for name, shares in SHARES.items():
        for by in (None, "semantic"):
            metric = PartitionMetric(by=by, weight="cluster")
            for events in shares[rank]:
                metric.update(*part(*events))
            metric._update_count += not shares[rank]  # compute() warns where nothing was updated
            results[name, by] = values(metric), [len(state) for state in metric.records]
    torch.save(results, Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_equal_one(tmp_path):
    torch.multiprocessing.spawn(_process, (str(tmp_path),), nprocs=2)
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in (0, 1)]
    for name, shares in SHARES.items():
        for by in (None, "semantic"):
            for rank in (0, 1):
                means, kept = ranks[rank][name, by]
                assert means == pytest.approx(expected(by, "cluster"), rel=1e-14), (name, by, rank)
                assert len(kept) == max(len(shares[rank]), 1)  # its own again after compute
