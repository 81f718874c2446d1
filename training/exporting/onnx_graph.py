"""
From a trained network to an ONNX graph that ONNX Runtime and TensorRT both take.

Everything between the camera's bytes and metres is in the graph, so that training and vehicle
cannot drift apart.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import onnxscript.optimizer
import torch
from torch import Tensor
from torch import nn

import sg_depth_ros
from training.exporting.graph_passes import rewrite
from training.torch_engine import ExportableModel

OUTPUT_NAMES = ('depth', 'labels', 'confidence')
# From the exporter's lowest to the highest that TensorRT 10.0's parser takes.
OPSETS = (18, 19, 20)
DEFAULT_OPSET = OPSETS[0]
# Larger than any weight, so that whatever depends on weights alone is computed now.
FOLD_LIMIT_ELEMENTS = 1 << 28


def build_graph(
    model: ExportableModel, height: int, width: int, opset: int = DEFAULT_OPSET
) -> onnx.ModelProto:
    """
    Trace the whole model into an ONNX graph of fixed size, without metadata.

    :param model: in evaluation mode, on the CPU.
    :param height: of the image, in pixels; ``width`` likewise.
    :param opset: of the ONNX operators, one of ``OPSETS``.
    """
    example = torch.zeros((1, height, width, 3), dtype=torch.uint8)
    return trace_graph(model, (example,), ('image',), OUTPUT_NAMES, opset)


def trace_graph(
    module: nn.Module,
    examples: tuple[Tensor, ...],
    input_names: tuple[str, ...],
    output_names: tuple[str, ...],
    opset: int = DEFAULT_OPSET,
) -> onnx.ModelProto:
    """
    Trace any module into an ONNX graph of its examples' shapes.

    By torch.export's exporter, because the TorchScript one's graph has some three times the
    nodes, and shape arithmetic that optimising does not remove.

    :param module: in evaluation mode, on the CPU.
    :param examples: one tensor per input.
    """
    with torch.no_grad(), _quiet_exporter():
        program = torch.onnx.export(
            module,
            examples,
            input_names=list(input_names),
            output_names=list(output_names),
            opset_version=opset,
            dynamo=True,
            external_data=False,
            optimize=False,  # below, with another limit; twice takes twice as long
            verbose=False,
        )
        assert program is not None
        onnxscript.optimizer.optimize_ir(
            program.model,
            input_size_limit=FOLD_LIMIT_ELEMENTS,
            output_size_limit=FOLD_LIMIT_ELEMENTS,
        )
        graph = program.model_proto
    graph = rewrite(graph)
    _strip(graph)
    # The oldest that knows the opset; a newer one would lock out older readers for nothing.
    graph.ir_version = onnx.helper.find_min_ir_version_for(list(graph.opset_import))
    onnx.checker.check_model(graph, full_check=True)
    return graph


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence the exporter: it warns of torchvision's absence and of its own deprecations."""
    logger = logging.getLogger('torch.onnx')
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logger.setLevel(before)


def _strip(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes for debugging: stack traces hold the machine's paths."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for part in (
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
        *model.graph.initializer,
    ):
        del part.metadata_props[:]
        part.doc_string = ''
    model.graph.doc_string = ''
    model.doc_string = ''
    model.graph.name = 'sg_depth_ros'
    model.producer_name, model.producer_version = 'sg_depth_ros', sg_depth_ros.__version__
