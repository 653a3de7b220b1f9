"""The metrics page: its tables are computed here too, and say what the text around them says."""

import importlib.util
import math
import re
from pathlib import Path

import numpy as np
import pytest

from sparseclust import metrics

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "metrics.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tables():
    specification = importlib.util.spec_from_file_location("docs_compare", DOCS / "_compare.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def column(rows, program):
    [name] = {name for row in rows for name in row if name.startswith(program)}
    return [row[name] for row in rows]


def test_sparseclust_and_scikit_learn_are_the_definition(tables):
    for rows in (tables.ari_of_large_inputs(), tables.ari_of_small_inputs(), tables.ami_of_small_inputs()):
        definition = column(rows, "definition")
        assert column(rows, "sparseclust") == pytest.approx(definition, rel=1e-13)
        assert column(rows, "scikit-learn") == pytest.approx(definition, rel=1e-12)


def test_integers_overflow_elsewhere(tables):
    rows = tables.ari_of_large_inputs()
    wrong = {
        program: [abs(value - row["definition"]) > 0.1 for value, row in zip(column(rows, program), rows)]
        for program in ("torchmetrics", "SPINE")
    }
    assert wrong["torchmetrics"] == [False, True, True, True]
    assert wrong["SPINE"] == [False, False, True, True]


def test_another_mutual_information(tables):
    rows = tables.ami_of_small_inputs()
    assert column(rows, "torchmetrics") == pytest.approx(column(rows, "definition"), abs=1e-6)
    for value, row in zip(column(rows, "SPINE"), rows):
        assert abs(value - row["definition"]) > 0.2


def test_conventions(tables):
    rows = {(row["score"], row["input"]): row for row in tables.conventions()}
    for (_, name), row in rows.items():
        assert math.isnan(row["sparseclust"]) if name == "no points" else row["sparseclust"] == 1


def test_averages_and_joined_events(tables):
    purity, efficiency = tables.averages()
    assert (purity["mean over clusters"], purity["mean over points"]) == (pytest.approx(2 / 3), 0.98)
    assert (efficiency["mean over clusters"], efficiency["mean over points"]) == (1, 1)
    ari = tables.joined_events()[0]
    assert ari["mean of the events"] == (ari["event 0, 100 points"] + ari["event 1, 900 points"]) / 2
    assert ari["one partition of 1000 points"] > 0.98


def test_three_means(tables):
    """The numbers that the page, and the issue tracker, quote."""
    assert [round(row["mean ARI"], 3) for row in tables.three_means()] == [0.976, 0.973, 0.969]
    published = tables.published_like_table()
    for row, of_class in zip(metrics.summarize_scores(published), tables.classes()):
        assert row["ari"]["mean"] == pytest.approx(of_class["published ARI"])
        assert row["n_rows"] == of_class["events that hold it"]


def test_spine_is_quoted_or_asked_for_every_input(tables):
    for score, recorded in tables.SPINE.items():
        for name, pair in (tables.LARGE | tables.SMALL | tables.EDGES).items():
            if name in recorded:
                [(program, value)] = tables.spine(score, name, *pair).items()
                assert program.startswith("SPINE ")
                np.testing.assert_allclose(value, recorded[name])


def test_wrong_numbers_are_bold(tables):
    lines = tables.markdown(tables.ari_of_large_inputs()).splitlines()
    assert lines[2].count("**") == 0
    assert lines[-1].count("**") == 4


def test_every_table_is_on_the_page(tables):
    included = re.findall(r"\{include\} _build/generated/(\w+)\.md", PAGE)
    assert sorted(included) == sorted(tables.TABLES)


@pytest.mark.parametrize("name", [*metrics.__all__, "PartitionMetric"])
def test_every_public_name_is_in_the_reference(name):
    assert re.search(rf"^\.\. auto(function|class):: {name}$", PAGE, re.MULTILINE)


def test_links_within_the_page_lead_somewhere():
    headings = {
        re.sub(r"\W+", "-", line[4:].lower()) for line in PAGE.splitlines() if line.startswith("### ")
    }
    links = set(re.findall(r"\]\(#([\w-]+)\)", PAGE))
    assert links
    assert links <= headings
