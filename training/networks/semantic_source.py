"""Where a semantic network comes from: a file on disk, or the entries of a depth checkpoint."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.networks.exported_semantic import ExportedSemanticNetwork
from training.networks.segmentation import SegmentationConfig
from training.networks.segmentation import SegmentationNetwork
from training.networks.segmentation import load_segmentation_checkpoint
from training.networks.semantic import SemanticNetwork

PROGRAM_KEY = 'exported_program'
PROGRAM_SUFFIX = '.pt2'


def load_semantic_network(path: Path) -> SemanticNetwork:
    """
    Read the network that guides depth, on the CPU and in evaluation mode.

    :param path: a checkpoint of ``segment``, or a program of ``torch.export.save`` (``*.pt2``).
    :raises UserError: where the file is missing, damaged or holds another network.
    """
    if path.suffix == PROGRAM_SUFFIX:
        return ExportedSemanticNetwork.from_file(path)
    return load_segmentation_checkpoint(path)


def semantic_entry(network: SemanticNetwork | None) -> dict[str, Any] | None:
    """Return what a depth checkpoint stores, beside weights, to build the network again."""
    if network is None:
        return None
    if isinstance(network, ExportedSemanticNetwork):
        return {PROGRAM_KEY: network.program_bytes()}
    assert isinstance(network, SegmentationNetwork), network
    return asdict(network.config)


def build_semantic(entry: dict[str, Any] | None) -> SemanticNetwork | None:
    """
    Build the network of a depth checkpoint's entry, our own with its weights still random.

    :raises TypeError: where the entry is of another version.
    :raises UserError: where its program cannot be read.
    """
    if entry is None:
        return None
    if PROGRAM_KEY in entry:
        return ExportedSemanticNetwork.from_bytes(entry[PROGRAM_KEY])
    return SegmentationNetwork(SegmentationConfig(**entry))
