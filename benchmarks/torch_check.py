"""Check that Torch-Pruning removes the same channels everywhere; for torch_pruner.py.

All weights that write or read the channels of one group are set to 0. Then the group is removed
alone, which must not change the result of the model. The result changes, without any error, where
the dependency graph lacks a dependency or counts channels in another way than the model does.
Groups with a LayerNorm are left out: even channels that are 0 change its mean and its variance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch_pruning as tp
from torch import nn

_TOLERANCE = 1e-3
"""Of the largest difference, relative to the largest result."""


def pruner_of(made: Any, example: torch.Tensor, ratio: float, multiple: int) -> Any:
    """Return what prunes a ``torch_modules.Converted`` by its group magnitude.

    ``round_to`` of Torch-Pruning rounds the channels that remain down, so that small layers lose a
    third of them at once. So each layer has a ratio of its own, for the nearest multiple.
    """
    layers = [
        m for m in made.module.modules() if isinstance(m, (nn.Linear, nn.modules.conv._ConvNd))
    ]
    ratios = {}
    for layer in layers:
        size = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
        count = max(multiple, round(size * (1 - ratio) / multiple) * multiple)
        # Torch-Pruning keeps int(size * (1 - ratio)): half a channel more, against rounding.
        ratios[layer] = max(0.0, 1 - (count + 0.5) / size)
    return tp.pruner.BasePruner(
        made.module,
        example,
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=ratio,
        pruning_ratio_dict=ratios,
        ignored_layers=made.ignored,
    )


def check_groups(
    convert: Callable[[], Any], example: torch.Tensor, ratio: float, multiple: int
) -> None:
    """Remove each group alone.

    Args:
        convert: returns a new ``torch_modules.Converted``.
        example: an image (1, C, H, W).
        ratio: share of the channels to remove.
        multiple: numbers of channels are multiples of it.

    Raises:
        ValueError: the result of the model changes; the message lists the groups.
        Exception: whatever a model raises whose shapes do not fit.
    """
    count = len(list(pruner_of(convert(), example, ratio, multiple).step(interactive=True)))
    wrong = []
    for number in range(count):
        made = convert()
        group = list(pruner_of(made, example, ratio, multiple).step(interactive=True))[number]
        modules = [dep.target.module for dep, _ in group]
        if any(isinstance(each, nn.LayerNorm) for each in modules):
            continue
        for dep, channels in group:
            _clear(dep, channels)
        expected = run(made.module, example)
        names = {module: name for name, module in made.module.named_modules()}
        first = names.get(modules[0], str(modules[0]))
        group.prune()
        found = run(made.module, example)
        if float((found - expected).abs().max()) > _TOLERANCE * float(expected.abs().max()):
            wrong.append(first)
    if wrong:
        raise ValueError(
            f"channels whose weights are all 0 were removed, and the result changed, in "
            f"{len(wrong)} of {count} groups: {', '.join(wrong)}"
        )


def run(module: nn.Module, example: torch.Tensor) -> torch.Tensor:
    """Run a module; an error names the node that fails."""
    with torch.no_grad():
        return torch.fx.Interpreter(module).run(example)  # type: ignore[arg-type]


@torch.no_grad()
def _clear(dep: Any, channels: list[int]) -> None:
    """Set the weights of one layer of a group to 0 for some channels."""
    module, function = dep.target.module, dep.handler
    if isinstance(module, nn.Parameter):
        module.data.index_fill_(dep.target.pruning_dim, torch.tensor(channels), 0)
    elif isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)):
        writes = function in (tp.prune_conv_out_channels, tp.prune_linear_out_channels)
        is_transposed = isinstance(module, nn.ConvTranspose2d)
        module.weight.index_fill_(int(writes == is_transposed), torch.tensor(channels), 0)
        if writes and module.bias is not None:
            module.bias.index_fill_(0, torch.tensor(channels), 0)
