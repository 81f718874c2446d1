import math

import numpy as np
import pytest
from recordings import CAMERA
from recordings import picture
from recordings import write_camera
from recordings import write_timed_video
from recordings import write_video

from sg_depth_ros.errors import UserError
from training.__main__ import main
from training.data.drive import frame_path
from training.data.drive import read_drive
from training.data.drive import read_image
from training.data.sources import SourceOptions
from training.data.sources import open_source
from training.data.sources.video import VideoScan
from training.data.sources.video import frame_stamps

TENTH_NS = 100_000_000


def write_speed(path, *lines):
    path.write_text('\n'.join(lines) + '\n')
    return path


def open_video(tmp_path, video, **options):
    return open_source(
        video, SourceOptions(camera_info=write_camera(tmp_path / 'camera.yaml'), **options)
    )


@pytest.mark.parametrize(
    ('suffix', 'codec'),
    [('.avi', 'MJPG'), ('.mp4', 'mp4v'), ('.mov', 'mp4v'), ('.mkv', 'MJPG'), ('.webm', 'VP80')],
)
def test_a_video_becomes_a_drive(tmp_path, capsys, monkeypatch, suffix, codec):
    monkeypatch.setenv('COLUMNS', '300')
    video = write_video(tmp_path / f'town{suffix}', [picture(i) for i in range(8)], codec=codec)
    camera = write_camera(tmp_path / 'camera.yaml')
    speed = write_speed(tmp_path / 'speed.csv', 'time_s,speed_m_s', '0,4.0', '0.8,12')

    status = main(
        ['prepare', str(video), '--out', str(tmp_path / 'dataset'), '--camera-info', str(camera)]
        + ['--speed', str(speed)]
    )

    assert status == 0
    folder = tmp_path / 'dataset' / 'town'
    drive = read_drive(folder)
    assert drive.original_intrinsics == CAMERA
    assert [f.stamp_ns for f in drive.frames] == [i * TENTH_NS for i in range(8)]
    assert [f.speed_m_s for f in drive.frames] == pytest.approx([4.0 + i for i in range(8)])
    for i in (0, 7):
        difference = read_image(frame_path(folder, i)).astype(int) - picture(i)
        assert np.abs(difference).mean() < 12
        other = read_image(frame_path(folder, i)).astype(int) - picture(i + 1)
        assert np.abs(other).mean() > 30


@pytest.mark.parametrize(('suffix', 'codec'), [('.avi', 'MJPG'), ('.mp4', 'mp4v')])
def test_reading_from_the_middle_gives_the_same_frames(tmp_path, suffix, codec):
    """Most frames of mp4v are differences to others: a wrong start shows."""
    images = [picture(i // 3) for i in range(30)]
    video = write_video(tmp_path / f'town{suffix}', images, codec=codec)
    source = open_video(tmp_path, video)
    whole = [content.image for content in source.read()]
    assert len(whole) == 30
    for first in (0, 1, 13, 29, 30):
        rest = [content.image for content in source.read(first)]
        assert len(rest) == 30 - first
        assert all(np.array_equal(a, b) for a, b in zip(rest, whole[first:]))


def test_a_video_without_intrinsics_is_refused(tmp_path):
    video = write_video(tmp_path / 'town.avi', [picture(0)] * 2)
    with pytest.raises(UserError, match=r'town\.avi: .*give --camera-info'):
        open_source(video, SourceOptions())


def test_stamps_are_the_frames_own_times(tmp_path):
    """A recorder that drops frames leaves a gap, which the frame rate does not show."""
    times_ms = [40, 140, 240, 540, 640]
    for suffix in ('.mkv', '.mp4'):
        images = [picture(i) for i in range(5)]
        video = write_timed_video(tmp_path / f'gap{suffix}', images, times_ms)
        source = open_video(tmp_path, video)
        assert [f.stamp_ns for f in source.frames] == [(t - 40) * 1_000_000 for t in times_ms]
        assert [n for n in source.notes if 'own times' in n]
        assert not [n for n in source.notes if 'cut off' in n]


def scan(times_ms, rate_hz=10.0, announced=None):
    count = len(times_ms) if announced is None else announced
    return VideoScan(CAMERA.width, CAMERA.height, rate_hz, count, tuple(times_ms))


@pytest.mark.parametrize('times_ms', [(0, 0, 0), (0, 100, 90), (0, math.nan, 200)])
def test_times_that_do_not_increase_give_way_to_the_rate(tmp_path, times_ms):
    notes = []
    stamps = frame_stamps(scan(times_ms, 20.0), tmp_path, None, notes)
    assert stamps.tolist() == [0, 50_000_000, 100_000_000]
    assert '20 Hz' in notes[0]
    with pytest.raises(UserError, match='give --rate'):
        frame_stamps(scan(times_ms, 0.0), tmp_path, None, notes)


def test_a_named_rate_is_the_last_word(tmp_path):
    video = write_video(tmp_path / 'town.avi', [picture(i) for i in range(4)], rate_hz=25.0)
    source = open_video(tmp_path, video, rate_hz=5.0)
    assert [f.stamp_ns for f in source.frames] == [0, 2 * TENTH_NS, 4 * TENTH_NS, 6 * TENTH_NS]
    assert 'Stamps are those of 5 Hz, as --rate says.' in source.notes


def test_a_video_that_breaks_off_says_so(tmp_path):
    whole = write_video(tmp_path / 'whole.avi', [picture(i) for i in range(40)])
    broken = tmp_path / 'broken.avi'
    data = whole.read_bytes()
    broken.write_bytes(data[: len(data) // 2])
    source = open_video(tmp_path, broken)
    assert 10 < len(source.frames) < 30
    assert [n for n in source.notes if 'announces 4.0 s' in n and 'cut off' in n]
    assert not [n for n in open_video(tmp_path, whole).notes if 'cut off' in n]
    assert len(list(source.read())) == len(source.frames)


def test_what_is_no_video_is_refused(tmp_path):
    path = tmp_path / 'town.mp4'
    path.write_bytes(b'no video at all')
    with pytest.raises(UserError, match=r'town\.mp4: the video cannot be opened'):
        open_video(tmp_path, path)


def test_a_video_that_shrinks_after_it_was_opened_stops_the_reading(tmp_path):
    path = write_video(tmp_path / 'town.avi', [picture(i) for i in range(8)])
    source = open_video(tmp_path, path)
    write_video(path, [picture(i) for i in range(5)])
    with pytest.raises(UserError, match='ends after 5 frames, 8 were there'):
        list(source.read())


def test_a_scaled_video_scales_the_intrinsics_and_another_size_is_refused(tmp_path):
    half = write_video(tmp_path / 'half.avi', [picture(i, 64, 32) for i in range(2)])
    source = open_video(tmp_path, half)
    assert source.intrinsics == CAMERA.resized(64, 32)
    assert [n for n in source.notes if 'intrinsics are scaled' in n]
    wide = write_video(tmp_path / 'wide.avi', [picture(i, 128, 48) for i in range(2)])
    with pytest.raises(UserError, match=r'wide\.avi: 128x48, but .*128x64: no pure scale'):
        open_video(tmp_path, wide)


def test_a_row_that_the_codec_cut_off_moves_nothing(tmp_path):
    """Codecs with half-size colour drop the last row of odd images; no pixel is scaled."""
    camera = CAMERA.cropped(0, 0, 127, 63)
    video = write_video(tmp_path / 'odd.avi', [picture(i, 126, 62) for i in range(2)])
    yaml = write_camera(tmp_path / 'odd.yaml', camera)
    source = open_source(video, SourceOptions(camera_info=yaml))
    assert source.intrinsics == CAMERA.cropped(0, 0, 126, 62)
    assert [n for n in source.notes if 'cut off at the end' in n]


def turn(path, degrees):
    """Set the display matrix in an mp4's track header, as phones do that are held upright."""
    data = bytearray(path.read_bytes())
    one, angle = 1 << 16, math.radians(degrees)
    c, s = round(math.cos(angle)) * one, round(math.sin(angle)) * one
    start = data.index(b'tkhd') + 4 + 40
    matrix = (c, s, 0, -s, c, 0, 0, 0, 1 << 30)
    data[start : start + 36] = b''.join(v.to_bytes(4, 'big', signed=True) for v in matrix)
    path.write_bytes(bytes(data))


def test_a_turned_video_is_shown_upright_and_needs_a_calibration_turned_alike(tmp_path):
    image = np.zeros((64, 128, 3), np.uint8)
    image[:, :64] = 200
    video = write_video(tmp_path / 'phone.mp4', [image] * 3, codec='mp4v')
    turn(video, 90)
    with pytest.raises(UserError, match=r'64x128, but .*128x64: turned by 90 degrees'):
        open_video(tmp_path, video)

    upright = write_camera(tmp_path / 'up.yaml', CAMERA.cropped(0, 0, 64, 128))
    source = open_source(video, SourceOptions(camera_info=upright))
    assert [n for n in source.notes if 'turned by 90 degrees' in n]
    for content in source.read(1):
        assert content.image.shape == (128, 64, 3)
        halves = content.image[:64].mean(), content.image[64:].mean()
        assert halves == pytest.approx((200, 0), abs=8)


def test_colours_are_not_swapped(tmp_path):
    red = np.full((64, 128, 3), (220, 30, 10), np.uint8)
    source = open_video(tmp_path, write_video(tmp_path / 'red.avi', [red] * 2))
    seen = next(source.read()).image.reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(seen, (220, 30, 10), atol=6)
