"""
From a trained network to an ONNX graph that ONNX Runtime and TensorRT both take.

Everything between the camera's bytes and metres is in the graph, so that training and vehicle
cannot drift apart.
"""

import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import NamedTuple

import numpy as np
import onnx
import onnxscript.optimizer
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch import nn
from torch.nn import functional

import sg_depth_ros
from sg_depth_ros.engines import Prediction
from training.networks.guided import DepthOutput
from training.networks.guided import GuidedDepthNetwork

OUTPUT_NAMES = ('depth', 'labels', 'confidence')
# From the exporter's lowest to the highest that TensorRT 10.0's parser takes.
OPSETS = (18, 19, 20)
DEFAULT_OPSET = OPSETS[0]
# Larger than any weight, so that whatever depends on weights alone is computed now.
FOLD_LIMIT_ELEMENTS = 1 << 28


class VehicleModule(nn.Module):
    """
    The network with the vehicle's input and outputs.

    UINT8 stands only directly behind the input and directly before an output, and is cast from and
    to float32: TensorRT knows no other use of it (NvInfer.h, DataType::kUINT8).

    :param network: in eval mode.
    :param min_depth_m: bounds of the output, metres.
    :param max_depth_m: likewise.
    """

    def __init__(
        self, network: GuidedDepthNetwork | nn.Module, min_depth_m: float, max_depth_m: float
    ) -> None:
        super().__init__()
        self.network = network
        self.min_depth_m = float(min_depth_m)
        self.max_depth_m = float(max_depth_m)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """
        Predict depth, labels and confidence.

        :param image: uint8 (1, H, W, 3), RGB.
        :return: depth_m float32 (1, H, W), labels uint8 (1, H, W), confidence uint8 (1, H, W).
        """
        height, width = image.shape[1:3]
        rgb = image.to(torch.float32).permute(0, 3, 1, 2) / 255
        output: DepthOutput = self.network(rgb)
        depth_m = 1 / output.inverse_depth[0].squeeze(1)
        depth_m = depth_m.clamp(self.min_depth_m, self.max_depth_m)
        logits = functional.interpolate(
            output.logits, (height, width), mode='bilinear', align_corners=False
        )
        labels = logits.argmax(1).to(torch.float32)
        # The softmax of the winner alone: exp(0) / sum of exp(logit - winner).
        winner = logits.amax(1, keepdim=True)
        confidence = 1 / torch.exp(logits - winner).sum(1)
        confidence = torch.round(confidence * 255)
        return depth_m, labels.to(torch.uint8), confidence.to(torch.uint8)


def predict(module: VehicleModule, image: NDArray[np.uint8]) -> Prediction:
    """Run the torch network on an image (H, W, 3), RGB, as an engine would."""
    with torch.no_grad():
        depth_m, labels, confidence = module(torch.from_numpy(image.copy())[None])
    return Prediction(depth_m[0].numpy(), labels[0].numpy(), confidence[0].numpy())


def build_graph(
    module: VehicleModule, height: int, width: int, opset: int = DEFAULT_OPSET
) -> onnx.ModelProto:
    """
    Trace the network into an ONNX graph of fixed size, without metadata.

    torch.export's exporter, because its graph is a third of the TorchScript one's (696 nodes
    against 1976 for a guided ResNet-18, 793 after optimising) and has no shape arithmetic left.

    :param module: in eval mode, on the CPU.
    :param height: of the image, in pixels; ``width`` likewise.
    :param opset: of the ONNX operators, one of ``OPSETS``.
    """
    example = torch.zeros((1, height, width, 3), dtype=torch.uint8)
    with torch.no_grad(), _quiet_exporter():
        program = torch.onnx.export(
            module.eval(),
            (example,),
            input_names=['image'],
            output_names=list(OUTPUT_NAMES),
            opset_version=opset,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        assert program is not None
        onnxscript.optimizer.optimize_ir(
            program.model,
            input_size_limit=FOLD_LIMIT_ELEMENTS,
            output_size_limit=FOLD_LIMIT_ELEMENTS,
        )
        model = program.model_proto
    _strip(model)
    # The oldest that knows the opset; a newer one would lock out older readers for nothing.
    model.ir_version = onnx.helper.find_min_ir_version_for(list(model.opset_import))
    onnx.checker.check_model(model, full_check=True)
    return model


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


class GraphSummary(NamedTuple):
    """What a graph is made of."""

    operators: tuple[tuple[str, int], ...]  # name and number, most frequent first
    parameter_count: int
    gmac: float  # multiply-adds of the convolutions for one image, in billions

    @property
    def node_count(self) -> int:
        """Return the number of operators in the graph."""
        return sum(number for _, number in self.operators)


def summarize_graph(model: onnx.ModelProto) -> GraphSummary:
    """Count operators, parameters and multiply-adds."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes = {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.output)
    }
    weights = {w.name: list(w.dims) for w in model.graph.initializer}
    macs = 0
    for node in model.graph.node:
        if node.op_type == 'Conv':
            macs += prod(shapes[node.output[0]]) * prod(weights[node.input[1]][1:])
    floats = [w for w in model.graph.initializer if w.data_type == onnx.TensorProto.FLOAT]
    return GraphSummary(
        operators=tuple(Counter(node.op_type for node in model.graph.node).most_common()),
        parameter_count=sum(prod(w.dims) for w in floats),
        gmac=macs / 1e9,
    )
