"""Where a semantic network comes from: a file on disk, or the entries of a depth checkpoint."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.networks.segmentation import SegmentationConfig
from training.networks.segmentation import SegmentationNetwork
from training.networks.segmentation import load_segmentation_checkpoint
from training.networks.semantic import SemanticNetwork


def load_semantic_network(path: Path) -> SemanticNetwork:
    """
    Read the network that guides depth, on the CPU and in evaluation mode.

    :param path: a checkpoint of ``segment``.
    :raises UserError: where the file is missing, damaged or holds another network.
    """
    return load_segmentation_checkpoint(path)


def semantic_entry(network: SemanticNetwork | None) -> dict[str, Any] | None:
    """Return what a depth checkpoint stores, beside weights, to build the network again."""
    if network is None:
        return None
    assert isinstance(network, SegmentationNetwork), network
    return asdict(network.config)


def build_semantic(entry: dict[str, Any] | None) -> SemanticNetwork | None:
    """
    Build the network of a depth checkpoint's entry, its weights still random.

    :raises TypeError: where the entry is of another version.
    """
    return None if entry is None else SegmentationNetwork(SegmentationConfig(**entry))
