"""The outcome of a comparison in one sentence, honest whichever method wins."""

from hrec_tf.reporting.comparison import Comparison, Result
from hrec_tf.reporting.tables import label, p_value, spread

LEVEL = 0.05
"""Below this, a corrected p-value is called significant."""


def verdict(comparison: Comparison) -> str:
    """Says which method is best, by how much, and whether that is more than chance.

    The best trained model is held against the best baseline; see
    `Comparison.against_best_baseline`.
    """
    best, metric = comparison.best, comparison.metric
    reached = f"{metric} {_mean(comparison, best)}"
    trained = [result for result in comparison.results if not result.recipe.entry.is_baseline]
    baseline = comparison.best_baseline
    if len(comparison.results) == 1:
        return (
            f"{label(best)} reaches {reached}. It was run alone, so nothing here tells whether "
            "that is much."
        )
    if not trained:
        return (
            f"{label(best)} is the best of {len(comparison.results)} counted methods, with "
            f"{reached}. No trained model was compared."
        )
    if baseline is None:
        return (
            f"{label(best)} is the best of {len(trained)} trained models, with {reached}. No "
            "counted baseline was compared, so nothing here tells whether training was worth it."
        )
    model = max(trained, key=lambda result: result.metric(metric).mean)
    return _against(comparison, model, baseline)


def _against(comparison: Comparison, model: Result, baseline: Result) -> str:
    ahead, behind = _mean(comparison, model), _mean(comparison, baseline)
    difference = model.metric(comparison.metric).mean - baseline.metric(comparison.metric).mean
    by = _by(difference, baseline.metric(comparison.metric).mean)
    found = _significance(comparison, model, difference)
    if difference == 0:
        return (
            f"{label(model)}, the best trained model, and {label(baseline)}, the best baseline, "
            f"are level: {comparison.metric} {ahead}. Averaged by session, {found}."
        )
    if difference > 0:
        return (
            f"{label(model)} is best: {comparison.metric} {ahead}, which is {by} above "
            f"{label(baseline)}, the best baseline ({behind}); {found}."
        )
    return (
        f"{label(baseline)}, a counted baseline, is best: {comparison.metric} {behind}. The best "
        f"trained model, {label(model)} ({ahead}), is {by} below it; {found}."
    )


def _significance(comparison: Comparison, model: Result, difference: float) -> str:
    against = comparison.against_best_baseline[model.recipe.name]
    test, p = against.test, p_value(against.p_holm)
    # Never broken over two lines.
    p = (f"p {p}" if p.startswith("<") else f"p = {p}").replace(" ", "\N{NO-BREAK SPACE}")
    how = f"paired Wilcoxon test over {test.num_pairs:,} sessions, Holm-corrected {p}"
    if against.p_holm >= LEVEL:
        return f"the difference is not significant ({how})"
    if difference * test.mean_difference < 0:
        return (
            f"but averaged by session instead of by point the difference is "
            f"{test.mean_difference:+.4f}, and significant ({how})"
        )
    return f"the difference is significant ({how})"


def _by(difference: float, base: float) -> str:
    size = spread(abs(difference), None)
    return f"{size} ({abs(difference) / base:.1%})" if base > 0 else size


def _mean(comparison: Comparison, result: Result) -> str:
    return spread(result.metric(comparison.metric).mean, None)
