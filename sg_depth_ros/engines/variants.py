"""
The files of one network in other precisions, beside each other.

``python -m training export --precision both`` writes ``model.onnx`` in float32 and
``model.fp16.onnx``; which is which the contracts say, the names only say where to look.
"""

from pathlib import Path
from typing import get_args

from sg_depth_ros.contract import Precision
from sg_depth_ros.errors import UserError
from sg_depth_ros.model_file import ModelFile
from sg_depth_ros.model_file import read_model_file


def variant_paths(path: Path) -> tuple[Path, ...]:
    """
    Return where the other precisions of a model may lie: in its folder, under related names.

    :param path: ``model.onnx``, ``model.fp16.onnx`` or ``model.fp32.onnx``.
    """
    base = path.stem
    for precision in get_args(Precision):
        base = base.removesuffix(f'.{precision}')
    names = [base, *(f'{base}.{precision}' for precision in get_args(Precision))]
    paths = (path.with_name(f'{name}{path.suffix}') for name in names)
    return tuple(other for other in paths if other != path)


def find_variant(model: ModelFile, precision: Precision) -> ModelFile | None:
    """
    Find a file of the same network and size in another precision.

    :param model: the file at hand.
    :param precision: what is looked for; another than the file's own.
    :return: None where there is none: no file, one that cannot be read, or of another network.
    """
    for path in variant_paths(model.path):
        if not path.is_file():
            continue
        try:
            other = read_model_file(path)
        except UserError:
            continue  # nobody asked for this file: what is wrong with it is no concern here
        if other.contract.precision == precision and _is_same_network(model, other):
            return other
    return None


def _is_same_network(one: ModelFile, other: ModelFile) -> bool:
    a, b = one.contract, other.contract
    return (
        a.weights_sha256 == b.weights_sha256
        # Also the focal length: at one size it may be told anew by the export.
        and a.intrinsics == b.intrinsics
        and (a.min_depth_m, a.max_depth_m) == (b.min_depth_m, b.max_depth_m)
        and a.class_names == b.class_names
    )
