"""Floor 3: the one loop."""

from graphkit.train.checkpoint import Progress, checkpoints
from graphkit.train.config import TrainConfig
from graphkit.train.evaluate import evaluate, predict
from graphkit.train.fit import Fitted, fit
from graphkit.train.recipe import ModelFactory, Recipe, Supervised, describe
from graphkit.train.schedule import Cosine, Plateau
from graphkit.train.stop import Patience, PatienceWithTies, Stop, WindowMean
from graphkit.train.update import Alternate, GradientUpdate, Update

__all__ = [
    "Alternate",
    "Cosine",
    "Fitted",
    "GradientUpdate",
    "ModelFactory",
    "Patience",
    "PatienceWithTies",
    "Plateau",
    "Progress",
    "Recipe",
    "Stop",
    "Supervised",
    "TrainConfig",
    "Update",
    "WindowMean",
    "checkpoints",
    "describe",
    "evaluate",
    "fit",
    "predict",
]
