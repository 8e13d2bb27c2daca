import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hrec_tf.evaluation.significance import (
    bootstrap_interval,
    holm,
    mean_sd,
    paired_wilcoxon,
    student_t,
)
from tests.reference import resampled_means, signed_ranks


def test_wilcoxon_golden_value():
    """evaluation 5.2: three rises and a zero: 2 of 8 sign patterns are as one-sided, p = 1/4."""
    found = paired_wilcoxon([0.9, 0.5, 0.4, 0.2], [0.1, 0.3, 0.3, 0.2])
    assert (found.p_value, found.statistic, found.method) == (0.25, 0, "exact")
    assert (found.num_pairs, found.num_zeros) == (4, 1)
    assert found.mean_difference == pytest.approx((0.8 + 0.2 + 0.1) / 4)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=7, unique_by=abs))
def test_few_sessions_without_ties_are_enumerated(differences):
    found = paired_wilcoxon(np.array(differences, float), np.zeros(len(differences)))
    expected = signed_ranks.exact_p(differences) if any(differences) else 1.0
    assert found.p_value == pytest.approx(expected)
    assert found.statistic == min(signed_ranks.rank_sums(differences))


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(-5, 6), min_size=80, max_size=90))
def test_many_sessions_use_the_tie_corrected_normal(differences):
    found = paired_wilcoxon(np.array(differences, float), np.zeros(len(differences)))
    changed = [value for value in differences if value]
    assert found.num_zeros == len(differences) - len(changed)
    if len(changed) > 50:
        assert found.method == "normal approximation"
        assert found.p_value == pytest.approx(signed_ranks.approximate_p(differences))


def test_wilcoxon_equals_scipy_with_the_documented_options():
    rng = np.random.default_rng(3)
    first, second = rng.random(300).round(2), rng.random(300).round(2)
    difference = (first - second).round(2)  # without the noise that would hide ties
    expected = stats.wilcoxon(
        difference, zero_method="wilcox", correction=False, method="asymptotic"
    )
    assert paired_wilcoxon(first, second).p_value == pytest.approx(expected.pvalue)


def test_seeds_are_averaged_before_they_are_paired():
    first = np.array([[0.1, 0.5, 0.9], [0.3, 0.7, 0.1]])
    second = np.array([0.1, 0.5, 0.4])
    expected = paired_wilcoxon([0.2, 0.6, 0.5], second)
    assert paired_wilcoxon(first, second) == expected


def test_rounding_noise_is_neither_a_difference_nor_breaks_a_tie():
    found = paired_wilcoxon([0.1 + 0.2, 0.3 - 0.1, 0.9], [0.3, 0.1, 0.8])
    assert (found.num_zeros, found.method) == (1, "normal approximation")


def test_equal_methods_are_not_different():
    found = paired_wilcoxon([0.1, 0.2], [0.1, 0.2])
    assert (found.p_value, found.num_zeros) == (1.0, 2)


def test_holm_golden_value():
    """Four tests by hand: 4 x .01, 3 x .02, then 2 x .02 is lifted to .06, and 1 x .9."""
    assert holm([0.9, 0.02, 0.01, 0.02]) == pytest.approx([0.9, 0.06, 0.04, 0.06])
    assert holm([0.4, 0.6]) == pytest.approx([0.8, 0.8])
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_the_raw_values_and_bonferroni(p_values):
    adjusted = np.array(holm(p_values))
    raw = np.array(p_values)
    assert (adjusted >= raw).all() and (adjusted <= np.minimum(1, len(raw) * raw) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(raw, kind="stable")]) >= 0).all()


def test_student_t_golden_value():
    """Means 2 and 5, both with variance 1: t = -3 / sqrt(1/3 + 1/3), 4 degrees of freedom."""
    found = student_t([1, 2, 3], [4, 5, 6])
    assert found.statistic == pytest.approx(-3 / np.sqrt(2 / 3))
    assert found.p_value == pytest.approx(2 * stats.t.sf(3 / np.sqrt(2 / 3), df=4))
    assert found.mean_difference == -3


def test_mean_and_sample_deviation_over_seeds():
    found = mean_sd([1.0, 2.0, 4.0])
    assert found.mean == pytest.approx(7 / 3)
    assert found.sd == pytest.approx(np.sqrt((16 + 1 + 25) / 9 / 2))
    assert (mean_sd([0.25]).sd, str(mean_sd([0.25]))) == (None, "0.2500 one seed")


def test_bootstrap_golden_values():
    """Sessions 0 and 1 give the means 0, 1/2, 1 in 1, 2, 1 of 4 draws."""
    assert bootstrap_interval([0.0, 1.0], confidence=0.9) == (0, 1)  # 5 % < 1/4
    assert bootstrap_interval([0.0, 1.0], confidence=0.4) == (0.5, 0.5)  # 30 % and 70 %
    # Weights 1 and 3: half the draws hold both, with the mean 3/4.
    assert bootstrap_interval([0.0, 1.0], weights=[1, 3], confidence=0.4) == (0.75, 0.75)
    assert bootstrap_interval([0.3]) == (0.3, 0.3)


@settings(deadline=None, max_examples=20)
@given(
    rows=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 9)), min_size=1, max_size=12),
    seed=st.integers(0, 99),
)
def test_bootstrap_equals_the_loop_over_its_draws(rows, seed):
    values, weights = (np.array(column, float) for column in zip(*rows, strict=True))
    found = bootstrap_interval(values, weights=weights, confidence=0.8, resamples=40, seed=seed)
    expected = resampled_means.quantiles_of_draws(values, weights, 0.8, 40, seed)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_bootstrap_nears_the_quantiles_of_every_draw():
    values, weights = [0.1, 0.9, 0.4, 0.0, 0.6], [3, 1, 2, 5, 4]
    exact = np.quantile(resampled_means.all_means(values, weights), [0.05, 0.95])
    found = bootstrap_interval(values, weights=weights, confidence=0.9, resamples=20_000)
    np.testing.assert_allclose(found, exact, atol=0.01)


def test_bootstrap_of_many_sessions_is_the_normal_interval():
    values = np.random.default_rng(5).random(4000)
    half = stats.norm.ppf(0.975) * values.std() / np.sqrt(len(values))
    low, high = bootstrap_interval(values)
    assert (values.mean() - low, high - values.mean()) == pytest.approx((half, half), rel=0.1)


def test_bootstrap_rows_share_their_draws_whatever_the_block(monkeypatch):
    values = np.random.default_rng(6).random((2, 3, 30))
    low, high = bootstrap_interval(values, resamples=50, seed=1)
    alone = bootstrap_interval(values[1, 2], resamples=50, seed=1)
    assert low.shape == (2, 3) and (low[1, 2], high[1, 2]) == pytest.approx(alone)
    monkeypatch.setattr("hrec_tf.evaluation.significance._DRAWS_AT_ONCE", 100)
    np.testing.assert_allclose(bootstrap_interval(values, resamples=50, seed=1), (low, high))


def test_bad_input_is_named_and_mended():
    with pytest.raises(ValueError, match=r"`first` has 2 sessions, but `second` has 3\. Evaluate"):
        paired_wilcoxon([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match=r"`second` holds nan at \(1,\), but must be finite\."):
        paired_wilcoxon([1, 2], [1, np.nan])
    with pytest.raises(ValueError, match=r"`values` must hold at least one value, but was \[\]\."):
        mean_sd([])
    with pytest.raises(ValueError, match=r"`p_values` holds 1\.5 \(row 1\).*\[0, 1\]"):
        holm([0.1, 1.5])
    with pytest.raises(ValueError, match=r"`first` has shape \(1,\).*at least two runs"):
        student_t([1], [1, 2])
    with pytest.raises(ValueError, match=r"do not vary \(1\.0 and 2\.0 in every run\)"):
        student_t([1, 1], [2, 2])
    with pytest.raises(ValueError, match=r"`confidence` was 95, but must lie strictly between"):
        bootstrap_interval([1, 2], confidence=95)
    with pytest.raises(ValueError, match=r"smallest value is 0\.0.*each of the 2 sessions\. Pass"):
        bootstrap_interval([1, 2], weights=[1, 0])
