"""From the words of the command line to experiments."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from graphkit.bench.experiment import Experiment
from graphkit.bench.presets import preset
from graphkit.bench.tune import Tuned
from graphkit.errors import SettingError
from graphkit.tasks import Dims
from graphkit.train import Supervised

__all__ = ["build", "parse_seeds", "to_budget"]


def parse_seeds(text: str) -> tuple[int, ...]:
    """Returns seeds: ``"3"`` is 0, 1, 2; ``"0,5,7"`` is itself.

    Raises:
        SettingError: The text is neither.
    """
    try:
        numbers = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 0 or (len(numbers) == 1 and numbers[0] < 1):
        raise SettingError(
            f"seeds {text!r}: expected how many, such as 10, or the seeds, such as 0,5,7"
        )
    return tuple(range(numbers[0])) if "," not in text else tuple(dict.fromkeys(numbers))


def build(
    *,
    models: str,
    problems: str,
    seeds: str,
    epochs: int | None,
    lr: float | None,
    hidden: int | None,
    budget: int | None,
    trials: int | None,
    on_nan: str | None,
    root: Path | None = None,
) -> list[Experiment]:
    """Returns an experiment per model and problem.

    Raises:
        UnknownName: A model or problem does not exist.
        SettingError: A number is out of its range, or no width meets the budget.
    """
    train = {"epochs": epochs, "lr": lr, "on_nan": on_nan}
    settings = {"hidden_channels": hidden}
    chosen = [
        preset(
            model,
            problem,
            seeds=parse_seeds(seeds),
            train={key: value for key, value in train.items() if value is not None},
            settings={key: value for key, value in settings.items() if value is not None},
        )
        for problem in _words(problems)
        for model in _words(models)
    ]
    if budget is not None:
        from graphkit.bench.run import Loader

        load = Loader(root)
        chosen = [to_budget(each, budget, load(each, each.seeds[0]).dims) for each in chosen]
    if trials is not None:
        chosen = [_tuned(experiment, trials) for experiment in chosen]
    return chosen


def _any(factory: Any) -> Any:
    """A factory that also takes hyper-parameters, which its type does not say."""
    return factory


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def to_budget(experiment: Experiment, budget: int, dims: Dims) -> Experiment:
    """Returns the experiment with the width whose model has that many parameters.

    Args:
        experiment: Trains one model whose width is ``hidden_channels``.
        budget: Parameters wanted.
        dims: The problem's real sizes.

    Raises:
        SettingError: No width comes within 5 % of the budget.
    """
    from graphkit.bench.budget import fit_width

    recipe = experiment.recipe
    assert isinstance(recipe, Supervised)
    cls = getattr(recipe.model, "func", recipe.model)
    steps = getattr(cls, "width_multiple", 1)
    try:
        found = fit_width(_any(recipe.model), dims, budget, multiple_of=steps)
    except SettingError as error:
        raise SettingError(f"{experiment.name} on {experiment.problem_name}: {error}") from error
    model: Any = partial(_any(recipe.model), hidden_channels=found.width)
    name = f"{experiment.name}-{_short(budget)}"
    return replace(experiment, name=name, recipe=replace(recipe, model=model), reported=None)


def _tuned(experiment: Experiment, trials: int) -> Experiment:
    recipe = experiment.recipe
    assert isinstance(recipe, Supervised)
    tuned = Tuned(recipe.model, recipe.train, trials, decay=recipe.decay)
    return replace(experiment, name=f"{experiment.name}-tuned{trials}", recipe=tuned, reported=None)


def _short(number: int) -> str:
    thousands = number / 1000
    return f"{thousands:.0f}k" if math.isclose(thousands, round(thousands)) else str(number)
