"""
What a model file promises: size, camera, scale, classes, provenance, and a self-test.

The contract is JSON in the ONNX metadata (model_file.py). Training writes it, the vehicle reads
it; it is the only thing besides the graph that crosses between them. Both check every field by
the same rules. A field that the version does not know is refused: it may be a promise that the
reader would have to keep too. Who adds one raises the version.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Literal
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import SHORTEST_FOCAL_SHARE
from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.contract_fields import Fields
from sg_depth_ros.contract_fields import brief
from sg_depth_ros.contract_fields import parse_json
from sg_depth_ros.errors import UserError
from sg_depth_ros.stored_self_test import pack_self_test
from sg_depth_ros.stored_self_test import unpack_self_test

FORMAT_VERSION = 2  # 1 told neither the weights' digest nor the size trained at
MAX_SIDE_PX = 1 << 14  # more than any camera has
MAX_PIXELS = 1 << 23  # 3840 x 2160; bounds the memory that a crafted self-test can take
MAX_FOCAL_SHARE = 100.0  # of the image's side: a field of view of 0.6 degrees
DEPTH_RANGE_M = (1e-3, 1e4)  # half precision, in which the self-test is stored, is exact here
MAX_NAME_LETTERS, MAX_LICENCE_LETTERS = 100, 10_000
MAX_CLASSES = 255  # id 255 is "unknown"
MAX_STAGE, MAX_METRICS = 99, 200

_SHA256 = '[0-9a-f]{64}'
# Field -> what it looks like, in full and in words.
_ORIGINS = {
    'weights_sha256': (_SHA256, '64 hexadecimal digits'),
    'dataset_sha256': (f'{_SHA256}|not known: .+', '64 hexadecimal digits or "not known: WHY"'),
    # Of imported weights there is no configuration, but the digest of their files.
    'config_sha256': (
        f'(weights )?{_SHA256}',
        '64 hexadecimal digits, nor those of imported weights ("weights DIGITS")',
    ),
    'git_commit': (
        f'([0-9a-f]{{40}}|{_SHA256})(-dirty)?|unknown',
        '40 or 64 hexadecimal digits, perhaps with "-dirty", nor "unknown"',
    ),
}

# imported: the origin of imported weights says that they are metric.
ScaleSource = Literal['speed', 'poses', 'imported', 'none']
# Of the graph's weights and arithmetic; fp16 keeps in float32 what half precision would spoil.
Precision = Literal['fp32', 'fp16']


@dataclass(frozen=True, eq=False)
class SelfTest:
    """An image and the depth the trained network gave for it, to test an engine against."""

    image: NDArray[np.uint8]  # [H, W, 3], RGB
    depth_m: NDArray[np.float32]  # [H, W]


@dataclass(frozen=True, eq=False)
class ModelContract:
    """
    The promises of one ``model.onnx``.

    ``intrinsics`` are those of the training images at the network's size; a camera of another
    focal length sees everything too near or far by the ratio, which the node corrects. Files of
    one trained network, in whatever precision and size, share ``weights_sha256``.
    """

    intrinsics: Intrinsics  # its width and height are the network's
    min_depth_m: float
    max_depth_m: float
    metric: bool
    scale_source: ScaleSource
    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    network: str
    guidance: str
    precision: Precision
    training_stage: int
    weights_sha256: str
    trained_width: int  # of the training images, which ``width`` need not be; likewise the height
    trained_height: int
    dataset_sha256: str
    config_sha256: str
    git_commit: str
    validation: Mapping[str, float] = field(default_factory=dict)
    data_licence: str = 'not stated'
    weights_licence: str = 'not stated'
    self_test: SelfTest | None = None
    format_version: int = FORMAT_VERSION

    @property
    def width(self) -> int:
        """Width of the network's input in pixels."""
        return self.intrinsics.width

    @property
    def height(self) -> int:
        """Height of the network's input in pixels."""
        return self.intrinsics.height


def contract_to_json(contract: ModelContract) -> str:
    """
    Write a contract as JSON, stable to the byte for equal contracts.

    :raises UserError: naming the field that no reader would accept; its text or number may be a
        user's, of a dataset or of metrics.
    """
    camera = contract.intrinsics
    test = contract.self_test
    document = {
        'format_version': contract.format_version,
        'height': camera.height,
        'width': camera.width,
        'intrinsics_px': {n: float(getattr(camera, n)) for n in ('fx', 'fy', 'cx', 'cy')},
        'min_depth_m': float(contract.min_depth_m),
        'max_depth_m': float(contract.max_depth_m),
        'metric': contract.metric,
        'scale_source': contract.scale_source,
        'class_names': list(contract.class_names),
        'palette': [list(color) for color in contract.palette],
        'network': contract.network,
        'guidance': contract.guidance,
        'precision': contract.precision,
        'training_stage': contract.training_stage,
        **{name: getattr(contract, name) for name in _ORIGINS},
        'trained_width': contract.trained_width,
        'trained_height': contract.trained_height,
        'validation': {name: float(value) for name, value in contract.validation.items()},
        'data_licence': contract.data_licence,
        'weights_licence': contract.weights_licence,
        'self_test': None if test is None else pack_self_test(test.image, test.depth_m),
    }
    _contract_of(Fields(document))
    return json.dumps(document, sort_keys=True, separators=(',', ':'))


def contract_from_json(text: str) -> ModelContract:
    """
    Read a contract and check every field.

    :raises UserError: naming the field that is missing or wrong.
    """
    return _contract_of(parse_json(text))


def other_version(text: str) -> str | None:
    """Return what to do about a contract of another version, None where it is none of these."""
    try:
        version = parse_json(text).value('format_version')
    except UserError:
        return None
    return _other_version(version) if type(version) is int and version > 0 else None


def _contract_of(fields: Fields) -> ModelContract:
    _check_version(fields)
    intrinsics = _intrinsics(fields)
    min_depth_m, max_depth_m = _depth_range_m(fields)
    metric, scale_source = _scale(fields)
    class_names, palette = _classes(fields)
    trained_width, trained_height = _size_px(fields, 'trained_width', 'trained_height')
    contract = ModelContract(
        intrinsics=intrinsics,
        min_depth_m=min_depth_m,
        max_depth_m=max_depth_m,
        metric=metric,
        scale_source=scale_source,
        class_names=class_names,
        palette=palette,
        network=fields.text('network', MAX_NAME_LETTERS),
        guidance=fields.text('guidance', MAX_NAME_LETTERS),
        precision=fields.one_of('precision', get_args(Precision)),
        training_stage=fields.integer('training_stage', 1, MAX_STAGE),
        weights_sha256=_origin(fields, 'weights_sha256'),
        trained_width=trained_width,
        trained_height=trained_height,
        dataset_sha256=_origin(fields, 'dataset_sha256'),
        config_sha256=_origin(fields, 'config_sha256'),
        git_commit=_origin(fields, 'git_commit'),
        validation=fields.numbers('validation', MAX_NAME_LETTERS, MAX_METRICS),
        data_licence=fields.text('data_licence', MAX_LICENCE_LETTERS),
        weights_licence=fields.text('weights_licence', MAX_LICENCE_LETTERS),
        self_test=_self_test(fields, intrinsics),
    )
    fields.nothing_else()
    return contract


def _check_version(fields: Fields) -> None:
    version = fields.value('format_version')
    if type(version) is not int or version <= 0:
        raise fields.wrong('format_version', f'is {brief(version)}, not a version number')
    problem = _other_version(version)
    if problem is not None:
        raise UserError(problem)


def _other_version(version: int) -> str | None:
    found = f'contract field "format_version" is {brief(version)}, this software reads'
    if version > FORMAT_VERSION:
        return f'{found} {FORMAT_VERSION}: written by a newer sg_depth_ros; update the one here'
    if version < FORMAT_VERSION:
        return f'{found} {FORMAT_VERSION}: written by an older sg_depth_ros; export it again'
    return None


def _size_px(fields: Fields, width_name: str, height_name: str) -> tuple[int, int]:
    """Return width and height; which multiples a network takes is its graph's affair."""
    width = fields.integer(width_name, 1, MAX_SIDE_PX)
    height = fields.integer(height_name, 1, MAX_SIDE_PX)
    if width * height > MAX_PIXELS:
        raise fields.wrong(height_name, f'is {height} and {width_name} {width}: too many pixels')
    return width, height


def _intrinsics(fields: Fields) -> Intrinsics:
    """Return a camera whose principal point is at most an image's side beyond the image."""
    width, height = _size_px(fields, 'width', 'height')
    camera = fields.within('intrinsics_px')
    fx, fy = (
        camera.number(name, SHORTEST_FOCAL_SHARE * side_px, MAX_FOCAL_SHARE * side_px)
        for name, side_px in (('fx', width), ('fy', height))
    )
    cx, cy = (
        camera.number(name, -side_px, 2 * side_px)
        for name, side_px in (('cx', width), ('cy', height))
    )
    camera.nothing_else()
    return Intrinsics(fx, fy, cx, cy, width, height)


def _depth_range_m(fields: Fields) -> tuple[float, float]:
    smallest = fields.number('min_depth_m', *DEPTH_RANGE_M)
    largest = fields.number('max_depth_m', *DEPTH_RANGE_M)
    if smallest >= largest:
        raise fields.wrong('min_depth_m', f'is {smallest:g}, max_depth_m only {largest:g}')
    return smallest, largest


def _scale(fields: Fields) -> tuple[bool, ScaleSource]:
    metric = fields.boolean('metric')
    source: ScaleSource = fields.one_of('scale_source', get_args(ScaleSource))
    if metric != (source != 'none'):
        raise fields.wrong('metric', f'is {metric}, but scale_source {source}')
    return metric, source


def _classes(fields: Fields) -> tuple[tuple[str, ...], tuple[tuple[int, int, int], ...]]:
    names = fields.names('class_names', MAX_NAME_LETTERS, MAX_CLASSES)
    palette = fields.colors('palette')
    if len(palette) != len(names):
        raise fields.wrong('palette', f'holds {len(palette)} colors for {len(names)} class_names')
    return names, palette


def _origin(fields: Fields, name: str) -> str:
    pattern, meaning = _ORIGINS[name]
    return fields.matching(name, pattern, meaning)


def _self_test(fields: Fields, camera: Intrinsics) -> SelfTest | None:
    if fields.value('self_test') is None:
        return None
    return SelfTest(*unpack_self_test(fields.within('self_test'), camera.width, camera.height))
