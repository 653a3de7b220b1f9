"""scikit-learn's own checks of the estimators, those that apply."""

import pickle

import numpy as np
import pytest
import sklearn
from sklearn.cluster import KMeans
from sklearn.utils import estimator_checks

from sparseclust.clustering import (
    AffinityGraphClusterer,
    AgglomerativeClusterer,
    FragmentJudge,
    GaussianKernelClusterer,
)

JUDGE = FragmentJudge([9, -1, -1], [0.5, -1.0, 1.0], [1, 0, 0], [0], [0], width=66, radii=(8.0,))
ESTIMATORS = [
    GaussianKernelClusterer(),
    GaussianKernelClusterer({0: 0.5}, 0.3, min_size=3, assignment="argmax"),
    AffinityGraphClusterer(),
    AffinityGraphClusterer(threshold=0.4, min_size=2),
    AgglomerativeClusterer(judge=JUDGE),
]
APPLY = {
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
}
NO_FIT = (
    "fits one matrix X: our estimators cluster several aligned arrays, fit_predict(embeddings, margins, "
    "seediness) or fit_predict(edges, affinity, n=); examples/recipes/scikit_learn.py makes one that fits X"
)
NO_BASE = "asks for tags, which come with sklearn's BaseEstimator: clustering does not depend on scikit-learn"
NO_WEIGHTS = "asks for sample_weight: there is none"
OTHER_KIND = "is about transformers, or predictors of new points"
DO_NOT_APPLY = {
    "check_valid_tag_types": NO_BASE,
    "check_all_zero_sample_weights_error": NO_WEIGHTS,
    "check_sample_weight_equivalence_on_dense_data": NO_WEIGHTS,
    "check_sample_weight_equivalence_on_sparse_data": NO_WEIGHTS,
    "check_sample_weights_list": NO_WEIGHTS,
    "check_sample_weights_not_an_array": NO_WEIGHTS,
    "check_sample_weights_not_overwritten": NO_WEIGHTS,
    "check_sample_weights_pandas_series": NO_WEIGHTS,
    "check_sample_weights_shape": NO_WEIGHTS,
    "check_estimators_partial_fit_n_features": OTHER_KIND,
    "check_methods_sample_order_invariance": OTHER_KIND,
    "check_methods_subset_invariance": OTHER_KIND,
    "check_transformer_data_not_an_array": OTHER_KIND,
    "check_transformer_general": OTHER_KIND,
    "check_transformer_n_iter": OTHER_KIND,
    "check_transformer_preserve_dtypes": OTHER_KIND,
    "check_transformers_unfitted": OTHER_KIND,
    **dict.fromkeys(
        [
            "check_array_api_input",
            "check_clusterer_compute_labels_predict",
            "check_clustering",
            "check_complex_data",
            "check_dict_unchanged",
            "check_dont_overwrite_parameters",
            "check_dtype_object",
            "check_estimator_sparse_array",
            "check_estimator_sparse_matrix",
            "check_estimator_sparse_tag",
            "check_estimators_dtypes",
            "check_estimators_empty_data_messages",
            "check_estimators_fit_returns_self",
            "check_estimators_nan_inf",
            "check_estimators_overwrite_params",
            "check_estimators_pickle",
            "check_estimators_unfitted",
            "check_f_contiguous_array_estimator",
            "check_fit1d",
            "check_fit2d_1feature",
            "check_fit2d_1sample",
            "check_fit2d_predict1d",
            "check_fit_check_is_fitted",
            "check_fit_idempotent",
            "check_fit_score_takes_y",
            "check_n_features_in",
            "check_n_features_in_after_fitting",
            "check_pipeline_consistency",
            "check_positive_only_tag_during_fit",
            "check_readonly_memmap_input",
        ],
        NO_FIT,
    ),
}


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
@pytest.mark.parametrize("name", sorted(APPLY))
def test_checks_that_apply(name, estimator):
    check = getattr(estimator_checks, name, None)
    if check is None:
        pytest.skip(f"scikit-learn {sklearn.__version__} has no {name}")
    check(type(estimator).__name__, estimator)


@pytest.mark.skipif(
    not sklearn.__version__.startswith("1.9."), reason="the table is that of scikit-learn 1.9"
)
def test_every_check_applies_or_there_is_a_reason():
    checks = estimator_checks._yield_all_checks(KMeans(), legacy=True)
    names = {getattr(check, "func", check).__name__ for check in checks}
    assert names | {"check_estimator_cloneable"} == APPLY | DO_NOT_APPLY.keys()  # it runs before the others


def test_pickles_keep_parameters_and_results(rng):
    for estimator in ESTIMATORS:
        if isinstance(estimator, AffinityGraphClusterer):
            estimator.fit_predict(rng.integers(0, 9, (2, 20)), rng.random(20), n=9)
        elif isinstance(estimator, AgglomerativeClusterer):
            places = {"coords": rng.integers(0, 9, (9, 3)), "energy": rng.random(9)}
            estimator.fit_predict(rng.integers(0, 9, (2, 20)), rng.random(20), **places)
        else:
            estimator.fit_predict(rng.random((9, 2)), rng.random(9), rng.random(9), semantic=np.zeros(9, int))
        again = pickle.loads(pickle.dumps(estimator))
        assert again.get_params() == estimator.get_params()
        assert repr(again) == repr(estimator)
        assert np.array_equal(again.labels_, estimator.labels_)
        if isinstance(estimator, GaussianKernelClusterer):
            assert np.array_equal(again.instances_, estimator.instances_)
