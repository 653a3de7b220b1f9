"""Old names go on working, and say once per call site what to write instead."""

import inspect
import warnings

import pytest

from sparseclust._deprecation import deprecated, renamed_parameter


@deprecated(use="sparseclust.metrics.purity", removal="0.3")
def old_purity(labels, *, average="cluster"):
    """Purity."""
    return len(labels), average


@renamed_parameter("eps", "radius", removal="0.3")
def pieces(coords, *, radius=1.0):
    return coords, radius


def test_a_deprecated_function_does_its_work_and_names_its_successor():
    with pytest.warns(
        FutureWarning, match=r"^old_purity is deprecated .* in sparseclust 0\.3; use .*purity$"
    ):
        assert old_purity([1, 2], average="point") == (2, "point")
    assert old_purity.__doc__ == "Purity."
    assert list(inspect.signature(old_purity).parameters) == ["labels", "average"]


def test_an_old_keyword_is_the_new_one():
    with pytest.warns(FutureWarning, match=r"^eps= of pieces is deprecated .* 0\.3; use radius=$"):
        assert pieces(7, eps=3) == (7, 3)
    assert pieces(7, radius=3) == (7, 3)
    assert list(inspect.signature(pieces).parameters) == ["coords", "radius"]
    with pytest.raises(TypeError, match="got radius= and its old name eps="):
        pieces(7, radius=3, eps=3)


def test_each_call_site_warns_once_and_is_named():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            old_purity([])
            pieces(7, eps=3)
        pieces(7, eps=3)
    assert [warning.filename for warning in caught] == [__file__] * 3
    assert len({warning.lineno for warning in caught}) == 3


def test_users_see_the_warning_without_asking():
    with warnings.catch_warnings(record=True) as caught:
        warnings.resetwarnings()
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning):
            warnings.simplefilter("ignore", category)  # what Python ignores by default
        old_purity([])
    assert len(caught) == 1
