"""Running a checkpoint like an exported model, so that every verb takes either."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch import nn
from torch.nn import functional

from sg_depth_ros.classes import UNKNOWN_ID
from sg_depth_ros.engines import open_engine
from sg_depth_ros.engines.engine import Engine
from sg_depth_ros.engines.engine import Prediction
from sg_depth_ros.engines.options import EngineOptions
from training.checkpoint import LoadedDepth
from training.checkpoint import load_depth_checkpoint
from training.checkpoint import model_contract
from training.networks.guided import GuidedDepthNetwork

CPU = torch.device('cpu')


class ExportableModel(nn.Module):
    """
    The network as the contract of ``model.onnx`` describes it, normalisation and mapping included.

    What runs here is what is exported, so training and vehicle cannot drift apart.
    """

    def __init__(self, network: GuidedDepthNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """
        Predict as the vehicle does.

        :param image: uint8 (B, H, W, 3), RGB; exported with B = 1.
        :return: depth_m float32 (B, H, W), labels uint8 (B, H, W), confidence uint8 (B, H, W);
            without a semantic network every label is unknown and every confidence 0.
        """
        # Bytes meet floats first and last: TensorRT knows UINT8 at a network's ends only.
        scaled = image.float().permute(0, 3, 1, 2) / 255
        output = self.network(scaled)
        config = self.network.config
        inverse_depth = output.inverse_depth[0].squeeze(1)
        depth_m = (1 / inverse_depth).clamp(config.min_depth_m, config.max_depth_m)
        if output.logits is None:
            # Computed from the image: an output that is a constant is no output for TensorRT.
            nothing = 0 * scaled[:, 0]
            return depth_m, (nothing + UNKNOWN_ID).to(torch.uint8), nothing.to(torch.uint8)
        logits = functional.interpolate(
            output.logits, scaled.shape[-2:], mode='bilinear', align_corners=False
        )
        best, labels = logits.max(dim=1)
        confidence = 1 / (logits - best.unsqueeze(1)).exp().sum(1)  # the largest of the softmax
        return (
            depth_m,
            labels.float().to(torch.uint8),
            (255 * confidence).round().to(torch.uint8),
        )


class TorchEngine:
    """
    Runs a checkpoint; implements the Engine protocol.

    :param device: where the network lies or shall lie.
    """

    def __init__(self, loaded: LoadedDepth, device: torch.device = CPU) -> None:
        self.contract = model_contract(loaded, 'fp32', None)
        self.description = f'PyTorch {torch.__version__}, {device.type.upper()}'
        self._device = device
        self._model = ExportableModel(loaded.network).eval().to(device)

    def infer(self, image: NDArray[np.uint8]) -> Prediction:
        """
        Predict depth and labels.

        :param image: RGB (H, W, 3), of exactly the contract's size.
        """
        return self.infer_batch(image[None])[0]

    def infer_batch(self, images: NDArray[np.uint8]) -> list[Prediction]:
        """
        Predict depth and labels of several images at once.

        :param images: RGB (B, H, W, 3), of exactly the contract's size.
        """
        expected = (self.contract.height, self.contract.width, 3)
        if images.shape[1:] != expected or images.dtype != np.uint8:
            raise ValueError(f'image {images.dtype} {images.shape[1:]}, not uint8 {expected}')
        with torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(images))
            outputs = self._model(batch.to(self._device))
        return [Prediction(*one) for one in zip(*(o.cpu().numpy() for o in outputs))]

    def close(self) -> None:
        """Nothing outlives the object."""


def open_model(path: Path) -> Engine:
    """
    Open a checkpoint or an exported model; a checkpoint runs on the GPU if there is one.

    :param path: ``*.onnx``, else a depth checkpoint.
    :raises UserError: where it is neither.
    """
    if path.suffix == '.onnx':
        # No other precision in its place: this file's depth is what is asked for.
        return open_engine(path, 'auto', EngineOptions(allow_fallback=False))
    device = torch.device('cuda') if torch.cuda.is_available() else CPU
    return TorchEngine(load_depth_checkpoint(path), device)
