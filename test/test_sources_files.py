import numpy as np
import pytest
from recordings import CAMERA
from recordings import picture
from recordings import write_camera
from recordings import write_video

from sg_depth_ros.errors import UserError
from training.data.sources import SourceOptions
from training.data.sources import open_source
from training.data.sources.camera_file import read_camera_file
from training.data.sources.speed_file import SpeedClock
from training.data.sources.speed_file import read_speed_file
from training.data.sources.speed_file import speeds_of_file
from training.data.sources.speed_samples import SpeedSamples
from training.data.sources.speed_samples import interpolate_speed

STAMPS = np.array([i * 500_000_000 for i in range(5)], np.int64)


def test_a_camera_file_is_read_to_the_last_number(tmp_path):
    d = (-0.25, 1e-05, 0.001, -2.5e-7, 0.0)  # which PyYAML takes for texts
    camera = read_camera_file(write_camera(tmp_path / 'camera.yaml', d=d))
    assert (camera.width, camera.height) == (128, 64)
    assert camera.distortion_model == 'plumb_bob'
    np.testing.assert_array_equal(camera.d, d)
    np.testing.assert_array_equal(camera.k, CAMERA.matrix().reshape(-1))
    np.testing.assert_array_equal(camera.r, np.eye(3).reshape(-1))
    np.testing.assert_array_equal(camera.p.reshape(3, 4)[:, :3], CAMERA.matrix())


def test_a_camera_file_may_be_without_rectification_and_projection(tmp_path):
    path = write_camera(tmp_path / 'camera.yaml')
    text = path.read_text()
    path.write_text(text[: text.index('rectification_matrix')])
    camera = read_camera_file(path)
    assert not camera.p.any()
    np.testing.assert_array_equal(camera.r, np.eye(3).reshape(-1))
    video = write_video(tmp_path / 'a.avi', [picture(0)])
    assert open_source(video, SourceOptions(camera_info=path)).intrinsics == CAMERA


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('image_width: 128', 'width: 128', 'no entry image_width; it holds width, image_height'),
        ('image_height: 64', 'image_height: 64.5', 'image_height is 64.5, no number of pixels'),
        ('image_height: 64', 'image_height: true', 'image_height is True, no number of pixels'),
        ('camera_matrix', 'matrix', 'no entry camera_matrix'),
        ('data: [70.0, ', 'data: [', 'camera_matrix has 8 numbers, not 9'),
        ('data: [70.0, ', 'data: [wide, ', "camera_matrix: 'wide' is no finite number"),
        ('data: [70.0, ', 'data: [.nan, ', 'camera_matrix: nan is no finite number'),
        ('data: [70.0, ', 'data: [[70.0], ', r'camera_matrix: \[70.0\] is no finite number'),
        ('data: [70.0, ', 'numbers: [70.0, ', 'camera_matrix has no list of numbers'),
        ('data: [70.0, ', 'data: [0.0, ', 'uncalibrated camera'),
        ('model: plumb_bob', 'model: 5', 'distortion_model is 5, no name'),
        ('model: plumb_bob', 'model: plum_bob', "distortion_model 'plum_bob' is unknown"),
        ('distortion_coefficients', 'coefficients', 'no entry distortion_coefficients'),
        ('image_width: 128', 'image_width: [128', 'no YAML as camera_calibration writes it'),
    ],
)
def test_a_wrong_camera_file_is_refused_by_file_and_entry(tmp_path, old, new, message):
    path = write_camera(tmp_path / 'camera.yaml', d=(0.1, 0.0, 0.0, 0.0, 0.0))
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    video = write_video(tmp_path / 'a.avi', [picture(0)])
    with pytest.raises(UserError, match=message) as caught:
        open_source(video, SourceOptions(camera_info=path))
    assert 'camera.yaml' in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize('content', [b'', b'- 1\n', b'just words', b'\xff\xfe'])
def test_what_is_no_camera_file_is_refused(tmp_path, content):
    path = tmp_path / 'camera.yaml'
    path.write_bytes(content)
    with pytest.raises(UserError, match=r'camera\.yaml'):
        read_camera_file(path)
    with pytest.raises(UserError, match=r'missing\.yaml: cannot be read'):
        read_camera_file(tmp_path / 'missing.yaml')


def test_a_camera_file_cannot_run_code(tmp_path):
    path = tmp_path / 'camera.yaml'
    path.write_text('image_width: !!python/object/apply:os.getpid []\n')
    with pytest.raises(UserError, match='no YAML as camera_calibration writes it'):
        read_camera_file(path)


def speed_file(tmp_path, *lines, start=''):
    path = tmp_path / 'speed.csv'
    path.write_text(start + '\n'.join(lines) + '\n')
    return path


def test_a_speed_file_counts_from_the_first_image_or_on_the_stamps_clock(tmp_path):
    notes = []
    start_ns = 1_700_000_000 * 10**9
    relative = speed_file(tmp_path, ' time_s, speed_m_s', '-1,0', '', '1.0, 4', start='\ufeff')
    speeds = speeds_of_file(relative, start_ns + STAMPS, absolute=True, notes=notes)
    assert speeds == pytest.approx([2.0, 3.0, 4.0, None, None])
    assert notes == ['2 images have no measured speed near: speed unknown there.']

    lines = (f'{start_ns},-2', f'{start_ns + 2 * 10**9},2')
    absolute = speed_file(tmp_path, 'stamp_ns,speed_m_s', *lines)
    assert read_speed_file(absolute)[0] is SpeedClock.STAMPS
    speeds = speeds_of_file(absolute, start_ns + STAMPS, absolute=True, notes=notes)
    assert speeds == pytest.approx([-2.0, -1.0, 0.0, 1.0, 2.0])
    with pytest.raises(UserError, match='give time_s'):
        speeds_of_file(absolute, STAMPS, absolute=False, notes=notes)


@pytest.mark.parametrize(
    ('lines', 'message'),
    [
        (('time,speed', '0,1'), "line 1: the header is 'time,speed', not 'time_s,speed_m_s' or"),
        (('0,1', '1,1'), "line 1: the header is '0,1'"),
        (('time_s,speed_m_s',), 'holds no measurement'),
        (('time_s,speed_m_s', '0,1', '1'), 'line 3: 1 values, not two'),
        (('time_s,speed_m_s', '0,1', '', '1,2,3'), 'line 4: 3 values, not two'),
        (('time_s,speed_m_s', 'now,1'), "line 2: 'now' is no number of seconds"),
        (('time_s,speed_m_s', '0,fast'), "line 2: 'fast' is no number of m/s"),
        (('time_s,speed_m_s', '0,nan'), "line 2: 'nan' is no finite number"),
        (('time_s,speed_m_s', '1,0', '1,0'), 'line 3: times do not increase'),
        (('time_s,speed_m_s', '0,120'), 'line 2: 120 m/s is faster than any car'),
        (('time_s,speed_m_s', '1700000000,1'), 'line 2: .* use stamp_ns'),
        (('stamp_ns,speed_m_s', '0.5,1'), "line 2: '0.5' is no whole number of nanoseconds"),
        (('stamp_ns,speed_m_s', '9' * 20 + ',1'), 'line 2: .* is no whole number of nanoseconds'),
        (('time_s,speed_m_s', '60,1', '61,1'), r'covers 60.000 to 61.000 s .* 0 to 2.000 s'),
    ],
)
def test_a_wrong_speed_file_is_refused_by_line(tmp_path, lines, message):
    path = speed_file(tmp_path, *lines)
    with pytest.raises(UserError, match=message) as caught:
        speeds_of_file(path, STAMPS, absolute=True, notes=[])
    assert str(path) in str(caught.value) and '\n' not in str(caught.value)


def test_speed_is_interpolated_near_measurements_only():
    """Known: within 0.25 s of a measurement, and inside gaps that are short enough."""
    times = np.array([1.0, 2.0, 5.0]) * 1e9
    samples = SpeedSamples(times.astype(np.int64), np.array([10.0, 20.0, 50.0]))
    stamps_s = np.array([0.7, 0.8, 1.0, 1.4, 2.0, 2.2, 3.0, 4.8, 5.2, 5.3])
    stamps = (stamps_s * 1e9).astype(np.int64)
    unknown = np.nan
    expected = [unknown, 10, 10, unknown, 20, 22, unknown, 48, 50, unknown]
    np.testing.assert_allclose(interpolate_speed(samples, stamps), expected)
    expected[3] = 14
    np.testing.assert_allclose(interpolate_speed(samples, stamps, 1_000_000_000), expected)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'camera': '02'}, 'is a video: --camera does not apply; it is for: KITTI raw drive'),
        ({'image_topic': '/image'}, 'is a video, which has no topics'),
        ({'lidar_topic': '/lidar'}, 'is a video, which has no topics'),
        ({'rate_hz': 0.0}, '--rate 0: is no number'),
        ({'rate_hz': float('nan')}, '--rate nan: is no number'),
    ],
)
def test_options_that_would_not_be_looked_at_are_refused(tmp_path, options, message):
    video = write_video(tmp_path / 'a.avi', [picture(0)])
    camera = write_camera(tmp_path / 'camera.yaml')
    with pytest.raises(UserError, match=message):
        open_source(video, SourceOptions(camera_info=camera, **options))
