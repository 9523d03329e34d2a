"""What the loop may ask of a model, and how any PyG network becomes one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from graphkit.errors import SettingError
from graphkit.tasks import Task

__all__ = ["Around", "FromModule", "Model", "as_model", "frozen"]


class Model(nn.Module):
    """A network that is called with a batch and returns a prediction.

    Four things the loop asks: ``forward``, ``losses``, ``reset_state``, ``observe``; two transforms
    the model may state. All state is in registered buffers. ``width_multiple`` is what
    ``hidden_channels`` must be divisible by, for fitting the width to a budget.
    """

    width_multiple: ClassVar[int] = 1

    @property
    def pre_transform(self) -> Callable[[Any], Any] | None:
        """PyG transform applied once to every graph, before batching."""
        return None

    @property
    def transform(self) -> Callable[[Any], Any] | None:
        """PyG transform applied to each batch; one with ``fixed = True`` draws nothing."""
        return None

    def losses(self, batch: Any, task: Task) -> dict[str, Tensor]:
        """Returns the named terms whose sum is minimised."""
        return {"loss": task.loss(self(batch), batch)}

    def reset_state(self) -> None:
        """Forgets what was remembered; called at the start of each training epoch."""

    def observe(self, batch: Any) -> None:
        """Takes in a batch that has just been predicted."""


class Around(Model):
    """A model around another: it brings the other's preparation along and hands on its memory.

    Args:
        net: The model inside.
    """

    def __init__(self, net: Model) -> None:
        super().__init__()
        self.net = net

    @property
    def pre_transform(self) -> Callable[[Any], Any] | None:
        """That of the model inside."""
        return self.net.pre_transform

    @property
    def transform(self) -> Callable[[Any], Any] | None:
        """That of the model inside."""
        return self.net.transform

    def forward(self, batch: Any) -> Tensor:
        """Returns the answer of the model inside."""
        out: Tensor = self.net(batch)
        return out

    def reset_state(self) -> None:
        """Hands on to the model inside."""
        self.net.reset_state()

    def observe(self, batch: Any) -> None:
        """Hands on to the model inside."""
        self.net.observe(batch)


class FromModule(Model):
    """A PyG network, unchanged, behind our call.

    Args:
        net: Any module.
        fields: Names of the batch's fields, in the order of the network's arguments.
        optional: Fields handed over by name where the batch carries them.

    Raises:
        SettingError: No field is named.
    """

    def __init__(self, net: nn.Module, *fields: str, optional: tuple[str, ...] = ()) -> None:
        super().__init__()
        if not fields:
            raise SettingError(
                'FromModule needs the fields the network reads, e.g. "x", "edge_index"'
            )
        self.net = net
        self.fields = fields
        self.optional = optional

    def forward(self, batch: Any) -> Tensor:
        """Returns what the network makes of the batch's fields."""
        present = {name: batch[name] for name in self.optional if batch.get(name) is not None}
        out: Tensor = self.net(*(getattr(batch, name) for name in self.fields), **present)
        return out


# A sampled batch's ``batch_size`` counts seeds, PyG's own networks read it as a number of graphs.
_OFFERED = ("edge_weight", "edge_attr", "batch")


def as_model(net: nn.Module) -> Model:
    """Returns ``net`` itself if it is a model, else wrapped after the signature of its ``forward``.

    A network with PyG's call ``(x, edge_index, ...)`` gets these two fields, and by name those of
    ``edge_weight``, ``edge_attr`` and ``batch`` that it takes and the batch carries.

    Raises:
        SettingError: ``forward`` needs an argument that no batch carries.
    """
    if isinstance(net, Model):
        return net
    parameters = inspect.signature(net.forward).parameters
    plain = [p for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    needed = [p.name for p in plain if p.default is p.empty]
    optional = [p.name for p in plain if p.default is not p.empty and p.name in _OFFERED]
    odd = [name for name in needed if name not in ("x", "edge_index", "pos", *_OFFERED)]
    if odd or not needed:
        raise SettingError(
            f"{type(net).__name__}.forward takes {needed or 'nothing'}; which fields of a batch "
            'that means is not clear. Say so: FromModule(net, "x", "edge_index", ...)'
        )
    return FromModule(net, *needed, optional=tuple(optional))


def frozen(model: Model) -> Model:
    """Returns the model kept in evaluation mode and without gradients, to be part of another."""
    model.requires_grad_(False)
    model.eval()
    model.train = lambda mode=True: model  # type: ignore[method-assign]
    return model
