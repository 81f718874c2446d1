r"""
The picture on the README's first screen: what comes out, and what the second stage is for.

    python -m training synthesize --out held_out --seed 1 --width 1280 --height 384
    python -m benchmarks.front_picture held_out --one one.onnx --two two.onnx \
      --shown 24 --followed 88 --out docs/images/front.jpg

Above, a frame through the second stage's model, as the node computes it: image, predicted classes
and depth, the cloud from above. Below, a frame with a car at the camera's own speed: its depth
after the first stage and after the second one.
"""

import argparse
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.bags.bag import open_bag
from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import resize_image
from sg_depth_ros.engines import open_engine
from sg_depth_ros.estimator import DepthEstimator
from sg_depth_ros.estimator import EstimatorSettings
from sg_depth_ros.output import write_picture
from sg_depth_ros.report.pictures import depth_picture
from sg_depth_ros.report.pictures import picture_strip
from sg_depth_ros.report.pictures import titled

GAP_PX = 8
BACKGROUND = (16, 20, 26)


class Seen(NamedTuple):
    """A frame as a model sees it."""

    image: NDArray[np.uint8]  # [H, W, 3], RGB, as recorded
    labels: NDArray[np.uint8]  # [h, w]
    depth_m: NDArray[np.float32]  # [h, w]
    camera: Intrinsics  # of labels and depth


def see(bag_path: Path, model: Path, numbers: Sequence[int]) -> list[Seen]:
    """Run a model on some images of a bag, ascending, through the node's estimator."""
    seen = []
    with open_bag(bag_path) as bag, closing(open_engine(model)) as engine:
        topics = bag.camera()
        info = bag.camera_info(topics)
        estimator = DepthEstimator(engine, EstimatorSettings())
        for recorded in bag.images(topics, only=numbers):
            estimate = estimator.estimate(recorded.image, info)
            assert estimate.depth_m is not None, estimate.depth_problem
            assert estimate.camera is not None, estimate.camera_problem
            labels, depth_m = estimate.prediction.labels.copy(), estimate.depth_m.copy()
            seen.append(Seen(recorded.image, labels, depth_m, estimate.camera))
    return seen


def front_picture(shown: Seen, one: Seen, two: Seen) -> NDArray[np.uint8]:
    """
    Put the picture together.

    :param shown: what stands above.
    :param one: a frame by the first stage's model, and ``two`` the same by the second one's.
    """
    strip = picture_strip(*shown)
    width = (strip.shape[1] - 2 * GAP_PX) // 3
    height = round(width * one.camera.height / one.camera.width)
    panels = (
        ('a car ahead, as fast as the camera', one.image),
        ('depth after the first stage: a hole', depth_picture(one.depth_m)),
        ('depth after the second stage', depth_picture(two.depth_m)),
    )
    row = [titled(resize_image(picture, width, height), title) for title, picture in panels]
    # The same borders as within the strip.
    canvas = np.empty((strip.shape[0] + GAP_PX + row[0].shape[0], strip.shape[1], 3), np.uint8)
    canvas[:] = BACKGROUND
    canvas[: strip.shape[0]] = strip
    for number, panel in enumerate(row):
        left = number * (width + GAP_PX)
        canvas[-panel.shape[0] :, left : left + width] = panel
    return canvas


def main() -> None:
    """Run the models and write the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('drive', type=Path, help='of synthesize')
    parser.add_argument('--one', type=Path, required=True, help="model.onnx of the first stage's")
    parser.add_argument('--two', type=Path, required=True, help="model.onnx of the second stage's")
    parser.add_argument('--shown', type=int, required=True, help='number of the frame above')
    parser.add_argument('--followed', type=int, required=True, help='of the one below')
    parser.add_argument('--out', type=Path, required=True)
    options = parser.parse_args()
    bag = options.drive / 'bag'
    (one,) = see(bag, options.one, [options.followed])
    (two,) = see(bag, options.two, [options.followed])
    (shown,) = see(bag, options.two, [options.shown])
    write_picture(front_picture(shown, one, two), options.out)


if __name__ == '__main__':
    main()
