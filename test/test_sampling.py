"""Reading a small image at some pixels of a large one gives what resizing it would."""

import cv2
import numpy as np
import pytest

from sg_depth_ros.camera import resize_labels
from sg_depth_ros.sampling import sample_bilinear
from sg_depth_ros.sampling import sample_nearest
from sg_depth_ros.sampling import true_pixels

SIZES = [((192, 640), (375, 1242)), ((192, 640), (370, 1226)), ((64, 64), (375, 1224))]
SIZES += [((90, 70), (40, 60)), ((1, 1), (5, 4)), ((7, 9), (7, 9)), ((7, 9), (1, 20))]


@pytest.mark.parametrize(('small', 'large'), SIZES)
def test_samples_equal_the_resized_image(small: tuple[int, int], large: tuple[int, int]):
    rng = np.random.default_rng(0)
    mask = rng.uniform(size=large) < 0.3
    mask[0, 0] = mask[-1, -1] = True
    pixels, size = true_pixels(mask), (large[1], large[0])
    image = rng.uniform(0.01, 1.0, small)
    resized = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    # OpenCV's weights are float32.
    np.testing.assert_allclose(sample_bilinear(image, pixels), resized[mask], rtol=2e-5)
    labels = rng.integers(0, 256, small).astype(np.uint8)
    expected = resize_labels(labels, *size)[mask]
    np.testing.assert_array_equal(sample_nearest(labels, pixels), expected)
