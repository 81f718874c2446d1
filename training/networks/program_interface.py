"""What an exported program takes, gives and does, and refusing what cannot guide depth."""

from collections.abc import Iterator
from typing import Any
from typing import NamedTuple

import torch
from torch import Tensor
from torch import fx
from torch._ops import OpOverload
from torch.export import ExportedProgram

from sg_depth_ros.classes import CLASS_COUNT
from sg_depth_ros.errors import UserError

HINT = 'see docs/semantic_networks.md'
TRAINING_FORM = f'call .eval() on the network before torch.export.export; {HINT}'
DYNAMIC = (
    'export it with dynamic_shapes=({0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC},); ' + HINT
)


class InputSize(NamedTuple):
    """One dimension of the input."""

    fixed: int | None  # None: any from the lowest on
    lowest: int


class FeatureMap(NamedTuple):
    """One feature map."""

    channels: int
    stride: int


def input_sizes(program: ExportedProgram) -> tuple[InputSize, ...]:
    """Return what images the program takes: batch, channels, height, width."""
    inputs = program.graph_signature.user_inputs
    values = [n.meta.get('val') for n in program.graph.nodes if n.name in inputs]
    if len(values) != 1 or not isinstance(values[0], Tensor):
        raise UserError(
            f'the exported program takes {len(inputs)} inputs, not one image; wrap it; {HINT}'
        )
    (image,) = values
    if image.dim() != 4 or image.dtype != torch.float32 or image.shape[1] != 3:
        raise UserError(
            f'the exported program takes {image.dtype} {tuple(image.shape)}, not an image '
            f'float32 (B, 3, H, W); wrap it; {HINT}'
        )
    sizes = []
    for dimension, size in enumerate(image.shape):
        if isinstance(size, int):
            sizes.append(InputSize(size, size))
            continue
        bounds = program.range_constraints.get(size.node.expr)
        # Of a batch torch states 2 for "any": it takes one image too.
        least = 1 if dimension == 0 or bounds is None else int(bounds.lower)
        sizes.append(InputSize(None, max(1, least)))
    if sizes[0].fixed not in (None, 1):
        raise UserError(
            f'the program was exported for a batch of {sizes[0].fixed} only, and "evaluate" and '
            f'"export" need one image; {DYNAMIC}'
        )
    return tuple(sizes)


def refuse_training_form(program: ExportedProgram, module: fx.GraphModule) -> None:
    """
    Refuse a program that learns or throws dice as it runs.

    :raises UserError: for batch norm over the batch, dropout, random numbers or changed buffers.
    """
    signature = program.graph_signature
    changed = [*signature.buffers_to_mutate.values(), *signature.parameters_to_mutate.values()]
    if changed:
        raise UserError(f'the exported program changes its {changed[0]}; {TRAINING_FORM}')
    for node in (node for part in graph_modules(module) for node in part.graph.nodes):
        if not isinstance(node.target, OpOverload):
            continue
        schema = node.target._schema.arguments
        given = {a.name: a.default_value for a in schema if a.has_default_value()}
        given |= dict(zip((a.name for a in schema), node.args)) | node.kwargs
        switches = [given[name] for name in ('training', 'train') if name in given]
        # Decomposed instance norm is batch norm without statistics of its own: one per image.
        learns = any(switches) and node.target._overloadname != 'no_stats'
        random = torch.Tag.nondeterministic_seeded in node.target.tags
        if learns or (random and not switches and given.get('dropout_p') != 0):
            raise UserError(
                f'the exported program runs {node.target} as in training; {TRAINING_FORM}'
            )


def graph_modules(module: fx.GraphModule) -> Iterator[fx.GraphModule]:
    """Return a program and the blocks in it."""
    return (part for part in module.modules() if isinstance(part, fx.GraphModule))


def read_maps(result: Any, height: int, width: int) -> tuple[FeatureMap, ...]:
    """
    Check what the program gave for an image, and read its feature maps.

    :raises UserError: where that is not (logits, [feature maps]).
    """
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise UserError(f'the exported program must return (logits, [feature maps]); {HINT}')
    logits, maps = result
    if not isinstance(maps, (tuple, list)) or not maps:
        raise UserError(f'the exported program returns no list of feature maps; {HINT}')
    for name, value in (('logits', logits), *((f'map {i}', m) for i, m in enumerate(maps))):
        if not isinstance(value, Tensor) or value.dim() != 4 or not value.is_floating_point():
            raise UserError(f'{name} of the exported program is no (B, C, h, w) of floats; {HINT}')
    if logits.shape[1] != CLASS_COUNT:
        raise UserError(
            f'the exported program knows {logits.shape[1]} classes, not the {CLASS_COUNT} of '
            f'sg_depth_ros/classes.py (Cityscapes); map them in its wrapper; {HINT}'
        )
    return tuple(_read_map(i, value, height, width) for i, value in enumerate(maps))


def _read_map(index: int, value: Tensor, height: int, width: int) -> FeatureMap:
    _, channels, rows, columns = value.shape
    stride = height // rows
    if (rows * stride, columns * stride) != (height, width) or stride & (stride - 1):
        raise UserError(
            f'map {index} of the exported program is of {columns}x{rows} for an image of '
            f'{width}x{height}: its stride must be a power of two; {HINT}'
        )
    return FeatureMap(channels, stride)
