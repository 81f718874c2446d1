"""
What a model file promises: size, camera, scale, classes, provenance, and a self-test.

The contract is JSON in the ONNX metadata (model_file.py). Training writes it, the vehicle reads
it; it is the only thing besides the graph that crosses between them.
"""

import base64
import binascii
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any
from typing import Literal
from typing import get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError

FORMAT_VERSION = 2  # 1 told neither the weights' digest nor the size trained at
MAX_SIDE_PX = 1 << 14  # more than any camera has

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
    """Write a contract as JSON, stable to the byte for equal contracts."""
    camera = contract.intrinsics
    pixels = {name: float(getattr(camera, name)) for name in ('fx', 'fy', 'cx', 'cy')}
    test = contract.self_test
    document = {
        'format_version': contract.format_version,
        'height': camera.height,
        'width': camera.width,
        'intrinsics_px': pixels,
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
        'weights_sha256': contract.weights_sha256,
        'trained_width': contract.trained_width,
        'trained_height': contract.trained_height,
        'dataset_sha256': contract.dataset_sha256,
        'config_sha256': contract.config_sha256,
        'git_commit': contract.git_commit,
        'validation': {name: float(value) for name, value in contract.validation.items()},
        'data_licence': contract.data_licence,
        'weights_licence': contract.weights_licence,
        'self_test': None if test is None else _self_test_to_json(test),
    }
    return json.dumps(document, sort_keys=True, separators=(',', ':'))


def contract_from_json(text: str) -> ModelContract:
    """
    Read a contract and check every field.

    :raises UserError: naming the field that is missing or wrong.
    """
    try:
        document = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(f'the contract is not JSON ({error})') from error
    if not isinstance(document, dict):
        raise UserError('the contract is not a JSON object')
    version = document.get('format_version')
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise UserError(
            f'contract field "format_version" is {version!r}, this software reads '
            f'{FORMAT_VERSION}; update sg_depth_ros or export the model again'
        )
    fields = _Fields(document)
    camera = _Fields(fields.typed('intrinsics_px', dict))
    intrinsics = Intrinsics(
        fx=camera.positive('fx'),
        fy=camera.positive('fy'),
        cx=camera.number('cx'),
        cy=camera.number('cy'),
        width=fields.side_px('width'),
        height=fields.side_px('height'),
    )
    metric = fields.typed('metric', bool)
    scale_source: ScaleSource = fields.one_of('scale_source', get_args(ScaleSource))
    if metric != (scale_source != 'none'):
        raise UserError(f'contract fields disagree: metric {metric}, scale_source {scale_source}')
    min_depth_m, max_depth_m = fields.positive('min_depth_m'), fields.positive('max_depth_m')
    if min_depth_m >= max_depth_m:
        raise UserError(f'contract: min_depth_m {min_depth_m} >= max_depth_m {max_depth_m}')
    class_names = fields.strings('class_names')
    palette = fields.colors('palette')
    if len(palette) != len(class_names):
        raise UserError(f'contract: {len(class_names)} class_names, {len(palette)} palette colors')
    test = document.get('self_test')
    return ModelContract(
        intrinsics=intrinsics,
        min_depth_m=min_depth_m,
        max_depth_m=max_depth_m,
        metric=metric,
        scale_source=scale_source,
        class_names=class_names,
        palette=palette,
        network=fields.typed('network', str),
        guidance=fields.typed('guidance', str),
        precision=fields.one_of('precision', get_args(Precision)),
        training_stage=fields.positive_int('training_stage'),
        weights_sha256=fields.typed('weights_sha256', str),
        trained_width=fields.side_px('trained_width'),
        trained_height=fields.side_px('trained_height'),
        dataset_sha256=fields.typed('dataset_sha256', str),
        config_sha256=fields.typed('config_sha256', str),
        git_commit=fields.typed('git_commit', str),
        validation=_numbers(fields.typed('validation', dict)),
        data_licence=fields.typed('data_licence', str),
        weights_licence=fields.typed('weights_licence', str),
        self_test=None if test is None else _self_test_from_json(test, intrinsics),
    )


class _Fields:
    """Typed access to a JSON object, with errors that name the field."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def typed(self, name: str, kind: type) -> Any:
        value = self._document.get(name)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise UserError(f'contract field "{name}" is {_brief(value)}, not {kind.__name__}')
        return value

    def number(self, name: str) -> float:
        value = self._document.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise UserError(f'contract field "{name}" is {_brief(value)}, not a number')
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise UserError(f'contract field "{name}" is {number}, not finite')
        return number

    def positive(self, name: str) -> float:
        value = self.number(name)
        if value <= 0:
            raise UserError(f'contract field "{name}" is {value}, not positive')
        return value

    def positive_int(self, name: str) -> int:
        value: int = self.typed(name, int)
        if value <= 0:
            raise UserError(f'contract field "{name}" is {value}, not positive')
        return value

    def side_px(self, name: str) -> int:
        value = self.positive_int(name)
        if value > MAX_SIDE_PX:
            raise UserError(f'contract field "{name}" is more than {MAX_SIDE_PX} pixels')
        return value

    def one_of(self, name: str, choices: tuple[str, ...]) -> Any:
        value = self._document.get(name)
        if value not in choices:
            raise UserError(
                f'contract field "{name}" is {_brief(value)}, not one of {", ".join(choices)}'
            )
        return value

    def strings(self, name: str) -> tuple[str, ...]:
        values = self.typed(name, list)
        if not values or not all(isinstance(v, str) for v in values):
            raise UserError(f'contract field "{name}" is not a list of names')
        return tuple(values)

    def colors(self, name: str) -> tuple[tuple[int, int, int], ...]:
        colors = []
        for value in self.typed(name, list):
            if (
                not isinstance(value, list)
                or len(value) != 3
                or not all(type(v) is int and 0 <= v <= 255 for v in value)
            ):
                raise UserError(f'contract field "{name}" holds {_brief(value)}, not an RGB color')
            colors.append((value[0], value[1], value[2]))
        return tuple(colors)


def _numbers(document: Mapping[str, Any]) -> dict[str, float]:
    fields = _Fields(document)
    return {name: fields.number(name) for name in document}


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + '...'


def _self_test_to_json(test: SelfTest) -> dict[str, str]:
    ok, png = cv2.imencode('.png', cv2.cvtColor(test.image, cv2.COLOR_RGB2BGR))
    assert ok, 'OpenCV could not encode a PNG'
    # Half precision is 5e-4 relative, finer than any engine's agreement, and half the file.
    depth = zlib.compress(test.depth_m.astype('<f2').tobytes(), 9)
    return {
        'image_png': base64.b64encode(png.tobytes()).decode(),
        'depth_m_f16_zlib': base64.b64encode(depth).decode(),
    }


def _self_test_from_json(document: Any, camera: Intrinsics) -> SelfTest:
    if not isinstance(document, dict):
        raise UserError('contract field "self_test" is not an object')
    fields = _Fields(document)
    shape = (camera.height, camera.width)
    try:
        png = base64.b64decode(fields.typed('image_png', str), validate=True)
        packed = base64.b64decode(fields.typed('depth_m_f16_zlib', str), validate=True)
        # Bounded, to one value too many: a crafted file must not fill the vehicle's memory.
        inflater = zlib.decompressobj()
        depth = np.frombuffer(inflater.decompress(packed, 2 * (shape[0] * shape[1] + 1)), '<f2')
        bgr = _decode_png(png, shape)
    except (binascii.Error, zlib.error, ValueError, cv2.error) as error:
        reason = ' '.join(str(error).split())
        raise UserError(f'contract field "self_test" cannot be decoded ({reason})') from error
    if bgr is None or bgr.shape[:2] != shape or depth.size != shape[0] * shape[1]:
        raise UserError(
            f'contract field "self_test" does not hold an image and depth of {shape[1]}x{shape[0]}'
        )
    if not (np.isfinite(depth) & (depth > 0)).all():
        raise UserError('contract field "self_test" holds depth that is not positive')
    image = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
    return SelfTest(image, depth.astype(np.float32).reshape(shape))


def _decode_png(png: bytes, shape: tuple[int, int]) -> NDArray[np.uint8] | None:
    """Decode BGR (H, W, 3); None, without decoding, where the header tells another size."""
    height, width = shape
    # PNG specification, section 11.2.2: width and height open the first chunk.
    if png[12:24] != b'IHDR' + width.to_bytes(4, 'big') + height.to_bytes(4, 'big'):
        return None
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    return None if image is None else np.asarray(image, np.uint8)
