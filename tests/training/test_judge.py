"""A judge of fragments: trained, kept in a model file, tuned, and from the command line."""

import json

import numpy as np
import pytest
import torch

from sparseclust.cli import main
from sparseclust.clustering import (
    AffinityGraphClusterer,
    AgglomerativeClusterer,
    FragmentJudge,
    FragmentPairs,
    GaussianKernelClusterer,
)
from sparseclust.data import Event, VoxelInputs, collate_events, write_events
from sparseclust.data.simulation import EventGenerator
from sparseclust.models import edge_unet
from sparseclust.pipeline import Predictor, assemble, describe_pretrained, network_outputs
from sparseclust.training import judge_examples, train_judge, tune_thresholds, with_thresholds

SIZE = 64
CLASSES = (0, 1, 2, 3)


def events(n=4, seed=3):
    generator = EventGenerator("crowded", spatial_size=SIZE, rng=seed)
    return [generator.event(i) for i in range(n)]


def untrained(clusterer=None, **options):
    torch.manual_seed(0)
    model = edge_unet(8, base_channels=4, depth=2, bridge_radius=4.0).eval()
    clusterer = AffinityGraphClusterer(threshold=0.5, min_size=3) if clusterer is None else clusterer
    return Predictor(model, clusterer, inputs=VoxelInputs(SIZE, n_classes=4), **options)


def nobody():
    return FragmentJudge([], [], [], [], [], width=0, classes=CLASSES, radii=(4.0, 10.0))


def judging(judge=None):
    """Cut into many fragments, as an untrained network is sure of nothing."""
    return AgglomerativeClusterer(
        judge=nobody() if judge is None else judge, fragment_threshold=0.52, min_size=3
    )


@pytest.fixture(scope="module")
def examples():
    found = judge_examples(untrained().predict(events(40)), judging())
    return FragmentPairs.concatenate(found)


@pytest.fixture(scope="module")
def judge(examples):
    return train_judge(examples, classes=CLASSES, radii=(4.0, 10.0), trees=20, leaves=8)


def test_a_judge_learns(examples, judge):
    assert 0 < examples.same.sum() < len(examples.same)
    wrong = np.mean((judge(examples.rows) > 0.5) != examples.same)
    assert wrong < 0.8 * min(examples.same.mean(), 1 - examples.same.mean())


def test_the_same_seed_gives_the_same_judge(examples, judge):
    again = train_judge(examples, classes=CLASSES, radii=(4.0, 10.0), trees=20, leaves=8)
    assert again == judge
    assert train_judge(examples, classes=CLASSES, radii=(4.0, 10.0), trees=20, leaves=8, seed=1) != judge


def test_what_counts_less_moves_the_answers(examples, judge):
    weight = np.where(examples.same, 1.0, 0.05)
    kind = {"classes": CLASSES, "radii": (4.0, 10.0), "trees": 20, "leaves": 8}
    trusting = train_judge(examples, weight=weight, **kind)
    assert trusting(examples.rows).mean() > judge(examples.rows).mean() + 0.05
    assert train_judge(examples, weight=7.0, **kind) == judge  # only their ratios matter
    for wrong in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="weight must be finite numbers above 0"):
            train_judge(examples, weight=wrong, **kind)


def test_answers_are_those_of_lightgbm(examples, monkeypatch):
    lightgbm = pytest.importorskip("lightgbm")
    grown = []
    train = lightgbm.train
    monkeypatch.setattr(
        lightgbm, "train", lambda *args, **kwargs: grown.append(train(*args, **kwargs)) or grown[-1]
    )
    judge = train_judge(examples, classes=(), radii=(4.0, 10.0), trees=30, leaves=12)
    [booster] = grown
    rows = examples.rows.astype(np.float32)
    np.testing.assert_allclose(judge(examples.rows), booster.predict(rows), atol=1e-5)


def test_several_forests_are_a_mean(examples, judge):
    kind = {"classes": CLASSES, "radii": (4.0, 10.0), "trees": 20, "leaves": 8}
    several = train_judge(examples, forests=3, **kind)
    assert several == train_judge(examples, forests=3, **kind)
    assert len(several.root) == 3 * len(judge.root)
    log_odds = []
    splits = np.split(np.arange(len(several.root)), np.arange(20, len(several.root), 20))
    for part in range(3):
        trees = np.concatenate(splits[part::3])
        value = np.where(several.feature < 0, 3 * several.value, several.value)
        arrays = several.arrays() | {"value": value, "root": several.root[trees], "kind": several.kind[trees]}
        p = FragmentJudge(**arrays, width=several.width, classes=CLASSES, radii=(4.0, 10.0))(examples.rows)
        log_odds.append(np.log(p / (1 - p)))
        wrong = np.mean((p > 0.5) != examples.same)
        assert wrong < 0.8 * min(examples.same.mean(), 1 - examples.same.mean())
    assert not np.array_equal(log_odds[0], log_odds[1])
    mean = several(examples.rows)
    np.testing.assert_allclose(np.log(mean / (1 - mean)), np.mean(log_odds, axis=0), atol=1e-4)
    with pytest.raises(ValueError, match="forests must be at least 1, got 0"):
        train_judge(examples, forests=0, **kind)


def test_trees_report_their_loss(examples):
    told = []
    kind = {"classes": CLASSES, "radii": (4.0, 10.0), "leaves": 8}
    train_judge(examples, trees=10, report=lambda *numbers: told.append(numbers), **kind)
    assert [number for number, _ in told] == list(range(10)) * (len(told) // 10)
    assert 0 < told[-1][1] < told[0][1]


def test_one_answer_is_not_enough(examples):
    yes = FragmentPairs(*(values[examples.same] for values in examples))
    with pytest.raises(ValueError, match=r"of \d+ given \d+ do: do instances touch\?"):
        train_judge(yes, classes=CLASSES, radii=(4.0, 10.0))


def test_examples_need_truth_and_edges():
    [prediction] = untrained().predict(events(1))
    blank = Event(prediction.event.coords, prediction.event.feats, prediction.event.semantic)
    with pytest.raises(ValueError, match="event 0 carries no true instances to learn from"):
        list(judge_examples(untrained().predict([blank]), judging()))


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
@pytest.mark.parametrize("bits", [32, 8])
def test_a_file_keeps_the_judge(judge, tmp_path, name, bits):
    clusterer = judging(judge).set_params(threshold={c: 0.4 + c / 10 for c in CLASSES})
    predictor = untrained(clusterer)
    predictor.save(tmp_path / name, bits=bits)
    again = Predictor.from_pretrained(tmp_path / name)
    assert again.clusterer.get_params() == clusterer.get_params()
    assert isinstance(again.clusterer.judge, FragmentJudge)
    told = describe_pretrained(tmp_path / name)
    assert told["clusterer"]["kind"] == "AgglomerativeClusterer"
    assert set(told["clusterer"]["judge"]) == {"classes", "radii", "width", "checksum"}
    json.dumps(told)
    if bits == 32:
        for one, other in zip(predictor.predict(events()), again.predict(events())):
            assert np.array_equal(one.labels, other.labels)


def test_a_file_of_another_release_or_a_damaged_judge_is_told(judge, tmp_path):
    untrained(judging(judge)).save(tmp_path / "model.pt")
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    del content["clusterer"]["judge"]["width"]
    torch.save(content, tmp_path / "other.pt")
    content["clusterer"]["judge"]["width"] = 1  # fewer columns than its trees look at
    torch.save(content, tmp_path / "damaged.pt")
    for name in ("other.pt", "damaged.pt"):
        with pytest.raises(ValueError, match="the judge is damaged or of another release; let another one"):
            Predictor.from_pretrained(tmp_path / name)


def test_judges_of_other_people_are_not_for_files(tmp_path):
    class Mine:
        classes, radii = (), (4.0,)

        def __call__(self, rows):
            return np.zeros(len(rows))

    with pytest.raises(TypeError, match="a file can hold a FragmentJudge, not a judge of type Mine"):
        untrained(judging(Mine())).save(tmp_path / "model.pt")


def test_a_batch_is_labelled_as_its_events_are(judge):
    together = list(untrained(judging(judge), batch_size=4).predict(events()))
    workers = list(untrained(judging(judge), batch_size=2).predict(events(), workers=1))
    for one, other, event in zip(together, workers, events()):
        [alone] = untrained(judging(judge), batch_size=1).predict([event])
        assert np.array_equal(one.labels, alone.labels)
        assert np.array_equal(other.labels, alone.labels)
    assert len({p.labels.max() for p in together}) > 1


def test_a_batch_without_energies_is_refused(judge):
    predictor = untrained(judging(judge))
    batch = collate_events(events(1), inputs=predictor.inputs)
    with torch.inference_mode():
        outputs = network_outputs(predictor.model, batch)
    assert len(assemble(predictor.clusterer, outputs, batch)) == len(events(1)[0])
    with pytest.raises(ValueError, match="looks at energies, the batch has none"):
        assemble(predictor.clusterer, outputs, type(batch)(batch.tensor, batch.semantic, batch.instance))


def test_voxels_that_are_listed_twice_and_classes_that_are_left_out(judge):
    [event] = events(1)
    twice = event.select(np.r_[np.arange(len(event)), 0:40])
    [other] = untrained(judging(judge)).predict([twice])
    assert np.array_equal(other.labels[len(event) :], other.labels[:40])
    # The rows to learn from are those that the clusterer judges, of the voxels that the network saw.
    judged = []

    class Noting(FragmentJudge):
        def __call__(self, rows):
            judged.append(rows.copy())
            return super().__call__(rows)

    noting = Noting(**judge.arrays(), width=judge.width, classes=judge.classes, radii=judge.radii)
    [other] = untrained(judging(noting)).predict([twice])
    expected = np.concatenate(judged)
    [found] = judge_examples([other], judging(judge), follow=True)
    np.testing.assert_allclose(found.rows, expected)


def test_tuning_finds_the_best_threshold_of_the_judge(judge):
    clusterer = judging(judge)
    predictions = list(untrained(clusterer).predict(events()))
    grid = [0.1, 0.3, 0.5, 0.7, 0.9]
    scan = tune_thresholds(predictions, clusterer=clusterer, grids={"threshold": grid}, metric="ari")
    assert {name: list(values) for name, values in scan.grids.items()} == {"threshold": grid}
    assert scan.ari.shape == (len(scan.classes), len(grid))
    best = with_thresholds(clusterer, scan)
    from sparseclust.training import Scorer

    for column, threshold in enumerate(grid):
        scorer = Scorer()
        for p in untrained(judging(judge).set_params(threshold=threshold)).predict(events()):
            scorer.add(p.event, p.labels)
        table = scorer.table()
        for row, c in enumerate(scan.classes):
            assert scan.ari[row, column] == pytest.approx(table[table["semantic"] == c]["ari"].mean())
    for row, c in enumerate(scan.classes):
        assert scan.ari[row, grid.index(best.threshold[int(c)])] >= scan.ari[row].max() - 2e-4


@pytest.fixture
def files(tmp_path):
    write_events(tmp_path / "events.h5", events(12))
    untrained().save(tmp_path / "model.pt")
    return tmp_path


def run(folder, *options):
    base = ["judge", str(folder / "events.h5"), "--model", str(folder / "model.pt"), "--trees", "5"]
    return main([*base, "--leaves", "4", "--fragment_threshold", "0.52", "--min_size", "3", *options])


def test_the_command_writes_a_model_with_a_judge(files, capsys):
    assert run(files, "--classified", str(files / "events.h5"), "--weights", "[1, 0.5]") == 0
    out = capsys.readouterr().out
    assert "pairs of fragments so far" in out
    assert "of every 10th event, not learned from:" in out
    predictor = Predictor.from_pretrained(files / "model.judged.pt")
    assert isinstance(predictor.clusterer, AgglomerativeClusterer)
    assert predictor.across_classes == "never"
    options = ["--model", str(files / "model.judged.pt"), "--output", str(files / "tuned.pt")]
    assert main(["tune", str(files / "events.h5"), *options]) == 0
    tuned = Predictor.from_pretrained(files / "tuned.pt").clusterer
    assert set(tuned.threshold) == set(CLASSES)
    # A model that has a judge gets another one.
    again = ["--model", str(files / "model.judged.pt"), "--output", str(files / "again.pt")]
    per_class = ["--fragment_threshold", "{0: 0.6, 1: 0.52, 2: 0.52, 3: 0.52}"]
    assert run(files, *again, *per_class, "--min_size", "{0: 3, 1: 3, 2: 3, 3: 2}") == 0
    clusterer = Predictor.from_pretrained(files / "again.pt").clusterer
    assert (clusterer.fragment_threshold[0], clusterer.min_size[3]) == (0.6, 2)


@pytest.mark.parametrize("weights", ["[1, 1]", "[0]", "[.inf]"])
def test_weights_are_one_for_each_input(files, capsys, weights):
    assert run(files, "--weights", weights) == 2
    assert "weights must be 1 numbers above 0, one per input" in capsys.readouterr().err


def test_kernels_have_no_fragments(files, capsys):
    untrained(GaussianKernelClusterer()).save(files / "model.pt")
    assert run(files) == 2
    assert "fragments are those of a model that scores edges" in capsys.readouterr().err


def test_stopped_it_goes_on_where_it_was(files, monkeypatch, capsys):
    from sparseclust.cli import _judge as command

    monkeypatch.setattr(command, "_PART", 4)
    original, asked, limit = command.judge_examples, [], [5]

    def until_told(predictions, clusterer, *, follow):
        asked.append(follow)
        if len(asked) == limit[0]:
            raise KeyboardInterrupt
        return original(predictions, clusterer, follow=follow)

    assert run(files, "--output", str(files / "whole.pt")) == 0
    monkeypatch.setattr(command, "judge_examples", until_told)
    options = ["--output", str(files / "stopped.pt")]
    assert run(files, *options) == 130
    assert "stopped: the same command goes on from here" in capsys.readouterr().err
    assert asked == [False, False, False, True, True]
    parts = files / "stopped.pt.parts"
    assert sorted(p.name for p in parts.iterdir()) == ["0-0.npz", "0-4.npz", "0-8.npz", "1-0.npz"]
    assert not (files / "stopped.pt").exists()
    # One part is damaged and one of another command: they are made anew, the others not.
    half = (parts / "0-4.npz").read_bytes()
    (parts / "0-4.npz").write_bytes(half[: len(half) // 2])
    with np.load(parts / "0-8.npz") as file:
        values = dict(file)
    values["rows"] += 1
    np.savez(parts / "0-8.npz", **{**values, "identity": "other"})
    asked.clear()
    limit[0] = -1
    assert run(files, *options) == 0
    assert asked == [False, False, True, True]
    assert not parts.exists()
    whole, stopped = (
        Predictor.from_pretrained(files / name).clusterer for name in ("whole.pt", "stopped.pt")
    )
    assert whole.judge == stopped.judge


def test_without_events_there_is_nothing_to_learn_from(files, capsys):
    write_events(files / "empty.h5", [])
    base = ["judge", str(files / "empty.h5"), "--model", str(files / "model.pt")]
    assert main(base) == 2
    assert "no events to learn from" in capsys.readouterr().err
