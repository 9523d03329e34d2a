"""The same number of trials for every model: settings chosen on validation, the best kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from graphkit.data.problem import Problem
from graphkit.errors import MissingExtra, SettingError
from graphkit.seeds import derived_seed
from graphkit.train import Fitted, Supervised, TrainConfig

__all__ = ["Tuned"]


@dataclass(frozen=True)
class Tuned:
    """Tries settings drawn by Optuna's TPE and returns the fit that is best on validation.

    Args:
        model: Makes the model from the sizes.
        train: Training settings that are not tuned.
        trials: Fits per run, the same for every model that is compared.
        lr: Range of the learning rate, drawn evenly in its logarithm.
        weight_decay: Range of the weight decay, drawn evenly in its logarithm.
        dropout: Values of the model's ``dropout``; empty leaves it alone.
        decay: Start of the names of the parameters that weight decay is for.
        on_epoch: Told each epoch's row; not a setting.

    Raises:
        SettingError: There is no trial.
    """

    model: Callable[..., nn.Module]
    train: TrainConfig
    trials: int = 10
    lr: tuple[float, float] = (1e-3, 3e-2)
    weight_decay: tuple[float, float] = (1e-5, 1e-2)
    dropout: tuple[float, ...] = (0.0, 0.2, 0.5, 0.8)
    decay: tuple[str, ...] = ()
    on_epoch: Callable[[dict[str, float]], Any] | None = field(
        default=None, compare=False, repr=False
    )

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise SettingError(f"trials={self.trials}; expected at least 1")

    def __call__(self, problem: Problem) -> Fitted:
        """Returns the best fit, with every trial in its notes."""
        try:
            import optuna
        except ImportError as error:
            raise MissingExtra('tuning needs optuna: pip install "graphkit[nas]"') from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        monitor = self.train.monitor or problem.task.monitor
        higher = problem.task.higher_is_better[monitor]
        sampler = optuna.samplers.TPESampler(seed=derived_seed(problem.seed, "tune") % 2**32)
        study = optuna.create_study(direction="maximize" if higher else "minimize", sampler=sampler)
        best: Fitted | None = None
        tried = []
        for _ in range(self.trials):
            trial = study.ask()
            recipe, chosen = self._drawn(trial)
            fitted = recipe(problem)
            score = fitted.val[f"val_{monitor}"]
            study.tell(trial, score)
            tried.append(chosen | {monitor: score})
            before = None if best is None else best.val[f"val_{monitor}"]
            if best is None or before is None or (score > before if higher else score < before):
                best = fitted
        assert best is not None
        return replace(best, notes=best.notes | {"trials": tried})

    def _drawn(self, trial: Any) -> tuple[Supervised, dict[str, Any]]:
        train = replace(
            self.train,
            lr=trial.suggest_float("lr", *self.lr, log=True),
            weight_decay=trial.suggest_float("weight_decay", *self.weight_decay, log=True),
        )
        chosen: dict[str, Any] = {"lr": train.lr, "weight_decay": train.weight_decay}
        model = self.model
        if self.dropout:
            from functools import partial

            dropout = trial.suggest_categorical("dropout", self.dropout)
            model = partial(model, dropout=dropout)
            chosen["dropout"] = dropout
        return Supervised(model, train, self.decay, self.on_epoch), chosen
