"""
``python -m training export``: a checkpoint to ``model.onnx``, the only file the vehicle needs.

Nothing is written unless the exported file, opened as the vehicle opens it, says what the trained
network says.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn
from rich.progress import Progress
from rich.progress import TextColumn
from rich.progress import TimeElapsedColumn

from sg_depth_ros.classes import CLASS_COUNT
from sg_depth_ros.contract import SelfTest
from sg_depth_ros.engines import Engine
from sg_depth_ros.engines import open_engine
from sg_depth_ros.engines.self_test import SelfTestResult
from sg_depth_ros.engines.self_test import run_self_test
from sg_depth_ros.errors import UserError
from sg_depth_ros.model_file import with_contract_added
from training.checkpoint import LoadedDepth
from training.checkpoint import load_depth_checkpoint
from training.checkpoint import model_contract
from training.exporting.export_report import Export
from training.exporting.export_report import print_export
from training.exporting.folding import fold_for_export
from training.exporting.onnx_graph import DEFAULT_OPSET
from training.exporting.onnx_graph import OPSETS
from training.exporting.onnx_graph import build_graph
from training.exporting.onnx_graph import summarize_graph
from training.exporting.parity import Parity
from training.exporting.parity import compare_engines
from training.exporting.parity import trial_images
from training.torch_engine import ExportableModel
from training.torch_engine import TorchEngine

STEP_COUNT = 5


def export_model(
    checkpoint: Path,
    out: Path,
    dataset: Path | None = None,
    opset: int = DEFAULT_OPSET,
    metrics: Path | None = None,
    progress: Callable[[str], None] = lambda step: None,
    *,
    fold_packing: bool = False,
) -> Export:
    """
    Write ``model.onnx`` of a depth checkpoint.

    :param checkpoint: written by ``train``.
    :param out: the file to write, whole or not at all.
    :param dataset: its frames serve as test images; None: artificial pictures.
    :param opset: of the ONNX operators.
    :param metrics: ``metrics.json`` of ``evaluate``, for the contract; None: it states none.
    :param progress: is told of each step before it is taken.
    :param fold_packing: fold PackNet's packings even where that changes the depth at the border;
        what is exported, compared with and stored as self-test is then the folded network.
    :raises UserError: where an input is wrong, or the file would not agree with the network.
    """
    if out.is_dir():
        raise UserError(f'{out}: is a folder; name the file to write, such as {out}/model.onnx')
    progress('read the checkpoint')
    loaded = _load(checkpoint, metrics)
    camera = loaded.provenance.intrinsics
    images = trial_images(camera.width, camera.height, dataset)
    trained, changed = TorchEngine(loaded), None
    network, folding = fold_for_export(
        loaded.network, camera.height, camera.width, fold_inexact=fold_packing
    )
    progress('trace the network')
    model = build_graph(ExportableModel(network).eval(), camera.height, camera.width, opset)
    summary = summarize_graph(model)
    progress('store the contract')
    if folding.folded and not folding.exact:
        folded = TorchEngine(loaded._replace(network=network))
        trained, changed = folded, compare_engines(trained, folded, images)
    self_test = SelfTest(images[0], trained.infer(images[0]).depth_m)
    contract = model_contract(loaded, 'fp32', self_test)
    content = with_contract_added(model.SerializeToString(), contract)
    progress('compare with the network')
    parity, result, engine = _try_out(content, trained, images)
    if not parity.passed or not result.passed:
        raise UserError(
            f'{checkpoint}: the exported graph disagrees with the network (relative depth error '
            f'{parity.max_relative_error:.2g}, equal labels {100 * parity.label_agreement:.2f} %; '
            f'{result.summary()}); nothing was written'
        )
    progress('write the file')
    write_atomically(content, out)
    semantic = None if network.segmentation is None else network.segmentation.describe()
    return Export(
        out, len(content), contract, semantic, summary, folding, changed, parity, result, engine
    )


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


def write_atomically(content: bytes, out: Path) -> None:
    """
    Write a file that is whole from the moment it can be seen.

    :raises UserError: where it cannot be written.
    """
    temporary = out.with_name(f'.{out.name}.{os.getpid()}.tmp')
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(content)
            temporary.replace(out)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f'{out}: cannot be written ({error.strerror})') from error


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


def _try_out(
    content: bytes, trained: Engine, images: list[NDArray[np.uint8]]
) -> tuple[Parity, SelfTestResult, str]:
    """Open the file as the vehicle does, and compare."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'model.onnx'
        path.write_bytes(content)
        engine = open_engine(path, 'onnxruntime')
        try:
            parity = compare_engines(trained, engine, images)
            result = run_self_test(engine)
        finally:
            engine.close()
    assert result is not None, 'the contract was written with a self-test'
    return parity, result, engine.description


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[str], None]]:
    """Show the steps as a bar, or as a line each where there is no terminal."""
    if not console.is_terminal:
        yield lambda step: console.print(f'export: {step}')
        return
    columns = (TextColumn('export: {task.description}'), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task('start', total=STEP_COUNT, completed=-1)
        yield lambda step: bar.update(task, description=step, advance=1)


def main(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog='python -m training export',
        description='Write model.onnx, with its contract, from a depth checkpoint. The file is '
        'compared with the trained network first and only written where they agree.',
    )
    parser.add_argument('checkpoint', type=Path, metavar='CKPT', help='written by "train"')
    parser.add_argument('--out', type=Path, required=True, help='the model file to write')
    parser.add_argument(
        '--data',
        type=Path,
        metavar='DATASET',
        help='dataset folder whose frames serve as test images and as the self-test that the '
        'vehicle repeats; without it, artificial pictures',
    )
    parser.add_argument(
        '--metrics',
        type=Path,
        metavar='FILE',
        help='metrics.json of "evaluate", which the contract then states',
    )
    parser.add_argument(
        '--precision', choices=('fp32',), default='fp32', help='of the weights (default: fp32)'
    )
    parser.add_argument(
        '--opset',
        type=int,
        choices=OPSETS,
        default=DEFAULT_OPSET,
        help=f'version of the ONNX operators (default: {DEFAULT_OPSET}, which older readers take)',
    )
    parser.add_argument(
        '--fold-packing',
        action='store_true',
        help='fold the packings of a PackNet that pads before each convolution (imported weights) '
        'too: half the work, but another depth at the border. Those that pad once, as our own '
        'training does, are always folded: the depth stays the same',
    )
    options = parser.parse_args(arguments)
    console = Console()
    with _progress(console) as show:
        export = export_model(
            options.checkpoint,
            options.out,
            options.data,
            options.opset,
            options.metrics,
            show,
            fold_packing=options.fold_packing,
        )
    print_export(export, console)
    if options.data is None:
        console.print('The self-test image is artificial; --data DATASET takes a real frame.')
    return 0
