"""How files are compared with the network, and the images that they are compared on."""

import numpy as np
import pytest
from exported_models import GivenEngine

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError
from training.data import drive as drives
from training.data.drive import Drive
from training.data.drive import Frame
from training.exporting.parity import LIMITS
from training.exporting.parity import compare
from training.exporting.trial_images import artificial_image
from training.exporting.trial_images import trial_images

IMAGE = np.zeros((1, 2, 3), np.uint8)


def parity(truth, judged):
    """Compare two engines on one image."""
    return compare([truth.infer(IMAGE)], judged, [IMAGE])


def test_the_comparison_reports_the_worst_pixel():
    truth = GivenEngine([[10.0, 20.0]], [[1, 2]], [[0, 255]])
    judged = GivenEngine([[10.0, 20.01]], [[1, 3]], [[255, 255]])
    result = parity(truth, judged)
    assert result.max_relative_error == pytest.approx(5e-4, rel=1e-3)
    assert result.median_relative_error == pytest.approx(2.5e-4, rel=1e-3)
    assert result.share_within_1_percent == 1
    assert result.label_agreement == 0.5
    assert (result.mean_confidence_difference, result.max_confidence_difference) == (127.5, 255)
    assert len(LIMITS['fp32'].failures(result)) == len(LIMITS['fp16'].failures(result)) == 2
    assert LIMITS['fp32'].failures(parity(truth, truth)) == ()


def test_the_worst_image_decides_whatever_the_others_say():
    truth, judged = GivenEngine([[10.0, 10.0]]), GivenEngine([[10.0, 11.0]])
    truths = [judged.infer(IMAGE), truth.infer(IMAGE), judged.infer(IMAGE)]
    result = compare(truths, judged, [IMAGE] * 3)
    assert result.image_count == 3
    assert result.share_within_1_percent == 0.5
    assert result.scale_ratio == pytest.approx(1.05)


@pytest.mark.parametrize('value', [np.nan, np.inf, 10.02])
def test_depth_that_is_not_finite_or_too_far_off_does_not_pass(value):
    result = parity(GivenEngine([[10.0, 20.0]]), GivenEngine([[value, 20.0]]))
    assert LIMITS['fp32'].failures(result)
    assert result.max_relative_error >= 1e-3


@pytest.mark.parametrize(('wrong', 'passes'), [(1, True), (2, False)])
@pytest.mark.parametrize('value', [10.2, np.nan, 0.0])
def test_half_precision_may_miss_one_pixel_in_a_thousand(wrong, passes, value):
    depth = np.full((1, 1000), 10.0)
    depth[0, :wrong] = value
    result = parity(GivenEngine(np.full((1, 1000), 10.0)), GivenEngine(depth))
    assert (LIMITS['fp16'].failures(result) == ()) is passes


def write_dataset(folder, *frame_counts):
    camera = Intrinsics(70.0, 70.0, 47.5, 31.5, 96, 64)
    value = 0
    for number, count in enumerate(frame_counts):
        path = folder / f'drive{number}'
        (path / 'frames').mkdir(parents=True)
        frames = tuple(Frame(i, i * 10**8) for i in range(count))
        for frame in frames:
            image = np.full((64, 96, 3), value, np.uint8)
            drives.write_frame(image, drives.frame_path(path, frame.index))
            value += 10
        drives.write_drive(Drive(path.name, 'made up', camera, camera, frames), path)
    return folder


def test_frames_of_a_dataset_serve_as_test_images_the_middle_one_first(tmp_path):
    images = trial_images(96, 64, write_dataset(tmp_path, 4, 5), count=3)
    assert [round(float(image.mean()), -1) for image in images] == [40, 10, 70]


def test_frames_of_another_size_are_resized(tmp_path):
    images = trial_images(64, 32, write_dataset(tmp_path, 1))
    assert len(images) == 1  # all that there are
    assert {image.shape for image in images} == {(32, 64, 3)}


def test_a_dataset_without_frames_is_refused(tmp_path):
    with pytest.raises(UserError, match='no frames'):
        trial_images(96, 64, write_dataset(tmp_path, 0))


def test_artificial_pictures_differ_and_repeat():
    first, second = artificial_image(96, 64, 0), artificial_image(96, 64, 1)
    assert first.std() > 20
    assert (first != second).mean() > 0.5
    np.testing.assert_array_equal(first, artificial_image(96, 64, 0))
