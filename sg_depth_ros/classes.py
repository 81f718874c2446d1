"""
The semantic classes: Cityscapes' nineteen training classes, their colours, and which can move.

Source: Cordts et al., The Cityscapes Dataset, CVPR 2016; ids are its "train ids".
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

UNKNOWN_ID = 255


class SemanticClass(NamedTuple):
    """One class: its name, its colour in pictures (RGB), and whether it can move by itself."""

    name: str
    color: tuple[int, int, int]
    can_move: bool


CITYSCAPES: tuple[SemanticClass, ...] = (
    SemanticClass('road', (128, 64, 128), False),
    SemanticClass('sidewalk', (244, 35, 232), False),
    SemanticClass('building', (70, 70, 70), False),
    SemanticClass('wall', (102, 102, 156), False),
    SemanticClass('fence', (190, 153, 153), False),
    SemanticClass('pole', (153, 153, 153), False),
    SemanticClass('traffic light', (250, 170, 30), False),
    SemanticClass('traffic sign', (220, 220, 0), False),
    SemanticClass('vegetation', (107, 142, 35), False),
    SemanticClass('terrain', (152, 251, 152), False),
    SemanticClass('sky', (70, 130, 180), False),
    SemanticClass('person', (220, 20, 60), True),
    SemanticClass('rider', (255, 0, 0), True),
    SemanticClass('car', (0, 0, 142), True),
    SemanticClass('truck', (0, 0, 70), True),
    SemanticClass('bus', (0, 60, 100), True),
    SemanticClass('train', (0, 80, 100), True),
    SemanticClass('motorcycle', (0, 0, 230), True),
    SemanticClass('bicycle', (119, 11, 32), True),
)
CLASS_COUNT = len(CITYSCAPES)
CLASS_NAMES: tuple[str, ...] = tuple(c.name for c in CITYSCAPES)
MOVABLE_IDS: tuple[int, ...] = tuple(i for i, c in enumerate(CITYSCAPES) if c.can_move)
ROAD_ID = CLASS_NAMES.index('road')
SKY_ID = CLASS_NAMES.index('sky')
CAR_ID = CLASS_NAMES.index('car')


def palette() -> NDArray[np.uint8]:
    """Return the colour of every id, RGB, shape (256, 3); ids without a class are black."""
    colors = np.zeros((256, 3), np.uint8)
    for class_id, semantic_class in enumerate(CITYSCAPES):
        colors[class_id] = semantic_class.color
    return colors


def colorize_labels(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn class ids (H, W) into a colour picture (H, W, 3), RGB; unknown is black."""
    return palette()[labels]
