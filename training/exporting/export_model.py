"""From a checkpoint to model files: all of them are written, or none."""

import json
import os
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import Literal
from typing import NamedTuple

from onnx import ModelProto

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.classes import CLASS_COUNT
from sg_depth_ros.contract import Precision
from sg_depth_ros.contract import SelfTest
from sg_depth_ros.errors import UserError
from training.checkpoint import LoadedDepth
from training.checkpoint import load_depth_checkpoint
from training.checkpoint import model_contract
from training.exporting.exported_file import ExportedFile
from training.exporting.exported_file import Trial
from training.exporting.exported_file import half_file
from training.exporting.exported_file import single_file
from training.exporting.folding import Folding
from training.exporting.folding import fold_for_export
from training.exporting.image_size import exported_camera
from training.exporting.image_size import size_warnings
from training.exporting.onnx_graph import DEFAULT_OPSET
from training.exporting.onnx_graph import build_graph
from training.exporting.parity import Parity
from training.exporting.parity import compare
from training.exporting.trial_images import trial_images
from training.networks.guided import GuidedDepthNetwork
from training.torch_engine import ExportableModel
from training.torch_engine import TorchEngine

PrecisionChoice = Literal['fp32', 'fp16', 'both']
PRECISIONS: dict[PrecisionChoice, tuple[Precision, ...]] = {
    'fp32': ('fp32',),
    'fp16': ('fp16',),
    'both': ('fp32', 'fp16'),
}
# In the contract of a file that was written although it does not agree with its network.
FORCED_KEY = 'forced_share_within_1_percent'


@dataclass(frozen=True)
class ExportOptions:
    """
    What a user decides about an export.

    :param dataset: its frames serve as test images; None: artificial pictures.
    :param precision: of the files; ``both`` writes two.
    :param width: of the image in pixels; ``height`` likewise. None: as trained, or after the
        other.
    :param opset: of the ONNX operators.
    :param metrics: ``metrics.json`` of ``evaluate``, for the contract; None: what the checkpoint
        states.
    :param fold_packing: fold PackNet's packings even where that changes the depth at the border;
        what is exported, compared with and stored as self-test is then the folded network.
    :param force: write half precision even where it does not agree with the network.
    """

    dataset: Path | None = None
    precision: PrecisionChoice = 'fp32'
    width: int | None = None
    height: int | None = None
    opset: int = DEFAULT_OPSET
    metrics: Path | None = None
    fold_packing: bool = False
    force: bool = False


class Export(NamedTuple):
    """What was written, and what is known of it."""

    paths: tuple[Path, ...]
    files: tuple[ExportedFile, ...]  # one per path
    semantic: str | None  # the semantic network in a few words; None: it knows no labels
    folding: Folding
    changed: Parity | None  # by an inexact folding: what is exported against what was trained
    warnings: tuple[str, ...]


class _Subject(NamedTuple):
    """What is exported, and what it is tried on."""

    loaded: LoadedDepth  # as trained, or as folded where that is another function
    network: GuidedDepthNetwork  # to trace
    camera: Intrinsics
    folding: Folding
    changed: Parity | None
    trial: Trial


def export_model(
    checkpoint: Path,
    out: Path,
    options: ExportOptions = ExportOptions(),
    progress: Callable[[str], None] = lambda step: None,
) -> Export:
    """
    Write the model files of a depth checkpoint.

    :param checkpoint: written by ``train``.
    :param out: the file to write; the half precision one of two is named after it.
    :param progress: is told of each step before it is taken.
    :raises UserError: where an input is wrong, or a file would not agree with the network; then
        nothing was written.
    """
    paths = output_paths(out, options.precision)
    progress('read the checkpoint')
    subject = _subject(checkpoint, options)
    camera = subject.camera
    progress('trace the network')
    model = ExportableModel(subject.network).eval()
    graph = build_graph(model, camera.height, camera.width, options.opset)
    files = []
    for precision in PRECISIONS[options.precision]:
        progress(f'compare {precision} with the network')
        files.append(_file(precision, graph, subject, checkpoint, options.force))
    progress('write')
    write_atomically(dict(zip(paths, (file.content for file in files))))
    provenance, semantic = subject.loaded.provenance, subject.loaded.network.segmentation
    return Export(
        paths,
        tuple(files),
        None if semantic is None else semantic.describe(),
        subject.folding,
        subject.changed,
        size_warnings(provenance.intrinsics, camera, bool(provenance.validation)),
    )


def output_paths(out: Path, precision: PrecisionChoice) -> tuple[Path, ...]:
    """
    Return the files that an export writes, one for each precision.

    :raises UserError: where ``out`` cannot be their name.
    """
    if out.is_dir():
        raise UserError(f'{out}: is a folder; name the file to write, such as {out}/model.onnx')
    if precision != 'both':
        return (out,)
    if out.stem.endswith('.fp16'):
        raise UserError(f'{out}: is a name for half precision; name the fp32 file, model.onnx')
    half = out.with_name(f'{out.stem.removesuffix(".fp32")}.fp16{out.suffix}')
    if half.is_dir():
        raise UserError(f'{half}: is a folder; the half precision file is written there')
    return out, half


def read_validation(metrics: Path) -> dict[str, float]:
    """
    Read what a model's contract says of its accuracy.

    :param metrics: ``metrics.json`` of ``evaluate``.
    :return: metrics by name, those with median scaling behind ``median_scaled_``; empty where the
        depth was judged without ground truth.
    :raises UserError: where the file is missing or holds no metrics.
    """
    try:
        document = json.loads(metrics.read_text())
        if document['ground_truth'] is None:
            return {}
        scaled = {f'median_scaled_{k}': float(v) for k, v in document['median_scaled'].items()}
        unscaled = {k: float(v) for k, v in document['unscaled'].items()}
        return {'images': float(document['images']), **unscaled, **scaled}
    except OSError as error:
        raise UserError(f'{metrics}: cannot be read ({error.strerror}); run evaluate') from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f'{metrics}: holds no metrics of evaluate ({error!r})') from error


def write_atomically(contents: Mapping[Path, bytes]) -> None:
    """
    Write files that are whole from the moment they can be seen, the last one when all lie ready.

    :raises UserError: where one cannot be written.
    """
    temporaries = {out: out.with_name(f'.{out.name}.{os.getpid()}.tmp') for out in contents}
    out = next(iter(contents))
    try:
        try:
            for out, temporary in temporaries.items():
                out.parent.mkdir(parents=True, exist_ok=True)
                temporary.write_bytes(contents[out])
            for out, temporary in temporaries.items():
                temporary.replace(out)
        finally:
            for temporary in temporaries.values():
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f'{out}: cannot be written ({error.strerror})') from error


def _subject(checkpoint: Path, options: ExportOptions) -> _Subject:
    loaded = _load(checkpoint, options.metrics)
    camera = exported_camera(loaded.provenance.intrinsics, options.width, options.height)
    images = trial_images(camera.width, camera.height, options.dataset)
    network, folding = fold_for_export(
        loaded.network, camera.height, camera.width, fold_inexact=options.fold_packing
    )
    engine, changed = _engine(loaded, camera), None
    truths = [engine.infer(image) for image in images]
    if folding.folded and not folding.exact:
        # Another function: from here on it is the one to agree with.
        loaded = loaded._replace(network=network)
        folded = _engine(loaded, camera)
        changed = compare(truths, folded, images)
        truths = [folded.infer(image) for image in images]
    return _Subject(loaded, network, camera, folding, changed, Trial(images, truths))


def _engine(loaded: LoadedDepth, camera: Intrinsics) -> TorchEngine:
    """Return the network in torch, for images of another size than it was trained at."""
    provenance = replace(loaded.provenance, intrinsics=camera)
    return TorchEngine(loaded._replace(provenance=provenance))


def _file(
    precision: Precision, graph: ModelProto, subject: _Subject, checkpoint: Path, force: bool
) -> ExportedFile:
    """Make a file and see that it may be written."""
    trial = subject.trial
    self_test = SelfTest(trial.images[0], trial.truths[0].depth_m)
    contract = model_contract(subject.loaded, precision, self_test, subject.camera)
    make = half_file if precision == 'fp16' else single_file
    file = make(graph, contract, trial)
    if not file.failures:
        return file
    reasons = '; '.join(file.failures)
    if precision == 'fp32':
        raise UserError(
            f'{checkpoint}: the exported graph disagrees with the network ({reasons}); nothing '
            'was written'
        )
    if not force:
        raise UserError(
            f'{checkpoint}: in half precision the network says something else ({reasons}); '
            'nothing was written. Take --precision fp32, or --force if you know better'
        )
    said = {**contract.validation, FORCED_KEY: file.parity.share_within_1_percent}
    return file._replace(contract=replace(contract, validation=said))


def _load(checkpoint: Path, metrics: Path | None) -> LoadedDepth:
    loaded = load_depth_checkpoint(checkpoint)
    _check_classes(loaded, checkpoint)
    if metrics is None:
        return loaded
    provenance = replace(loaded.provenance, validation=read_validation(metrics))
    return loaded._replace(provenance=provenance)


def _check_classes(loaded: LoadedDepth, checkpoint: Path) -> None:
    semantic = loaded.network.segmentation
    if semantic is not None and semantic.class_count != CLASS_COUNT:
        raise UserError(
            f'{checkpoint}: its semantic network knows {semantic.class_count} classes, the '
            f'contract names {CLASS_COUNT} (sg_depth_ros/classes.py); train it with those'
        )
