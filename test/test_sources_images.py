import cv2
import numpy as np
import pytest
from recordings import CAMERA
from recordings import picture
from recordings import write_camera
from recordings import write_images

from sg_depth_ros.errors import UserError
from training.__main__ import main
from training.data.drive import frame_path
from training.data.drive import labels_path
from training.data.drive import read_drive
from training.data.drive import read_image
from training.data.drive import read_labels
from training.data.sources import SourceOptions
from training.data.sources import open_source

START_NS = 1_700_000_000_123_456_789
STEP_NS = 100_000_000


def open_images(tmp_path, folder, **options):
    return open_source(
        folder, SourceOptions(camera_info=write_camera(tmp_path / 'camera.yaml'), **options)
    )


def stamps_of(source):
    return [frame.stamp_ns for frame in source.frames]


def names(count, suffix='.png'):
    return [f'{i}{suffix}' for i in range(count)]


def test_a_folder_of_images_becomes_a_drive(tmp_path):
    stamps = [START_NS + i * STEP_NS for i in range(12)]
    folder = write_images(
        tmp_path / 'town' / 'images', [picture(i) for i in range(12)], [f'{s}.png' for s in stamps]
    )
    labels = tmp_path / 'town' / 'labels'
    labels.mkdir()
    cv2.imwrite(str(labels / f'{stamps[3]}.png'), np.full((64, 128), 7, np.uint8))
    speed = tmp_path / 'speed.csv'
    speed.write_text(f'stamp_ns,speed_m_s\n{stamps[0]},3\n{stamps[10]},13\n')
    camera = write_camera(tmp_path / 'camera.yaml')

    status = main(
        ['prepare', str(folder), '--out', str(tmp_path / 'dataset')]
        + ['--camera-info', str(camera), '--speed', str(speed)]
    )

    assert status == 0
    drive_folder = tmp_path / 'dataset' / 'town'
    drive = read_drive(drive_folder)
    assert [f.stamp_ns for f in drive.frames] == stamps
    assert [f.speed_m_s for f in drive.frames[:11]] == pytest.approx([3.0 + i for i in range(11)])
    assert drive.original_intrinsics == CAMERA
    for i in (0, 11):
        difference = read_image(frame_path(drive_folder, i)).astype(int) - picture(i)
        assert np.abs(difference).mean() < 3
    assert [i for i in range(12) if labels_path(drive_folder, i).exists()] == [3]
    assert (read_labels(labels_path(drive_folder, 3)) == 7).all()


def test_numbers_in_names_count_as_numbers(tmp_path):
    unordered = [f'cam_{i}.jpg' for i in (10, 9, 100, 1)]
    folder = write_images(tmp_path / 'town', [picture(i) for i in (10, 9, 100, 1)], unordered)
    (folder / '._cam_1.jpg').write_bytes(b'what macOS leaves behind')
    (folder / 'readme.txt').write_text('not an image')

    source = open_images(tmp_path, folder, rate_hz=4.0)

    assert stamps_of(source) == [0, 250_000_000, 500_000_000, 750_000_000]
    for content, number in zip(source.read(), (1, 9, 10, 100)):
        assert np.abs(content.image.astype(int) - picture(number)).mean() < 12


def test_reading_from_the_middle_touches_only_what_follows(tmp_path):
    folder = write_images(tmp_path / 'town', [picture(i) for i in range(4)], names(4))
    source = open_images(tmp_path, folder, rate_hz=10.0)
    whole = [content.image for content in source.read()]
    (folder / '1.png').unlink()
    rest = [content.image for content in source.read(2)]
    assert len(rest) == 2
    assert all(np.array_equal(a, b) for a, b in zip(rest, whole[2:]))
    with pytest.raises(UserError, match=r'1\.png: cannot be read'):
        list(source.read())


@pytest.mark.parametrize(
    ('stems', 'unit', 'stamps_ns'),
    [
        (('1700000000123456789', '1700000000223456789'), 'nanoseconds', (0, STEP_NS)),
        (('1700000000123456', '1700000000223456'), 'microseconds', (0, STEP_NS)),
        (('1700000000123', '1700000000223'), 'milliseconds', (0, STEP_NS)),
        (('1700000000.123456789', '1700000000.2'), 'seconds', (0, 76_543_211)),
    ],
)
def test_names_that_are_stamps(tmp_path, stems, unit, stamps_ns):
    folder = write_images(tmp_path / 'town', [picture(0)] * 2, [f'{s}.png' for s in stems])
    source = open_images(tmp_path, folder)
    first = source.frames[0].stamp_ns
    assert str(first)[:10] == '1700000000' and len(str(first)) == 19
    assert tuple(s - first for s in stamps_of(source)) == stamps_ns
    assert [n for n in source.notes if f'taken as {unit} since 1970' in n]


@pytest.mark.parametrize(
    'stems',
    [
        ('000001', '000002'),
        ('2026013112304510', '2026013112304520'),  # a date, not microseconds
        ('0000000000', '0000000001'),
        ('1700000000123456789', '1700000000223456'),
    ],
)
def test_names_that_are_no_stamps_need_a_rate(tmp_path, stems):
    folder = write_images(tmp_path / 'town', [picture(0)] * 2, [f'{s}.png' for s in stems])
    with pytest.raises(UserError, match='give --rate'):
        open_images(tmp_path, folder)
    assert stamps_of(open_images(tmp_path, folder, rate_hz=2.0)) == [0, 500_000_000]


@pytest.mark.parametrize('name', ['times.txt', 'timestamps.txt'])
@pytest.mark.parametrize(
    ('lines', 'stamps_ns'),
    [
        (('0', '1.0371e-01', '0.25'), (0, 103_710_000, 250_000_000)),
        (('# s', '1700000000.000000001', '1700000000.1', '1700000001.'), (1, STEP_NS, 10**9)),
        (tuple(str(START_NS + i) for i in range(3)), (123456789, 123456790, 123456791)),
        (
            tuple(f'2023-11-14 22:13:2{i}.000000005' for i in range(3)),
            (5, 10**9 + 5, 2 * 10**9 + 5),
        ),
    ],
)
def test_a_file_beside_the_images_says_when_they_were_taken(tmp_path, name, lines, stamps_ns):
    folder = write_images(tmp_path / 'town', [picture(0)] * 3, names(3))
    (folder / name).write_text('\n'.join(lines) + '\n\n')
    stamps = stamps_of(open_images(tmp_path, folder))
    assert tuple(s % (1_700_000_000 * 10**9) for s in stamps) == stamps_ns


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('0.0\n0.1\n', 'times.txt: 2 stamps for 3 images'),
        ('0.0\n0.1\n0.1\n', 'times.txt, line 3: times do not increase'),
        ('0.0\nlater\n0.2\n', "times.txt, line 2: 'later' is no time"),
        ('0.0\nnan\n0.2\n', "times.txt, line 2: 'nan' is no time"),
        ('100000\n200000\n300000\n', "times.txt, line 1: '100000' may be of any unit"),
        ('2023-11-14 22:13\n1.5\n2.5\n', 'times.txt, line 1: .* is no time'),
    ],
)
def test_a_wrong_file_of_stamps_is_refused(tmp_path, text, message):
    folder = write_images(tmp_path / 'town', [picture(0)] * 3, names(3))
    (folder / 'times.txt').write_text(text)
    with pytest.raises(UserError, match=message):
        open_images(tmp_path, folder)


def test_two_sayings_about_time_are_refused(tmp_path):
    folder = write_images(tmp_path / 'town', [picture(0)] * 2, names(2))
    (folder / 'times.txt').write_text('0.0\n0.1\n')
    with pytest.raises(UserError, match=r'the times\.txt say .*leave out --rate'):
        open_images(tmp_path, folder, rate_hz=10.0)
    (folder / 'timestamps.txt').write_text('0.0\n0.1\n')
    with pytest.raises(UserError, match='leave one'):
        open_images(tmp_path, folder)
    stamped = [f'{START_NS}.png', f'{START_NS}.jpg']
    twice = write_images(tmp_path / 'twice', [picture(0)] * 2, stamped)
    with pytest.raises(UserError, match='two images of the same time'):
        open_images(tmp_path, twice)


def test_images_without_intrinsics_or_of_other_sizes_are_refused(tmp_path):
    sizes = ((128, 64), (128, 64), (64, 32))
    folder = write_images(tmp_path / 'town', [picture(0, *s) for s in sizes], names(3))
    with pytest.raises(UserError, match='give --camera-info'):
        open_source(folder, SourceOptions())
    source = open_images(tmp_path, folder, rate_hz=10.0)
    with pytest.raises(UserError, match=r'2\.png: 64x32, the first image is 128x64'):
        list(source.read())
    wide = write_images(tmp_path / 'wide', [picture(0, 128, 40)], names(1))
    with pytest.raises(UserError, match=r'0\.png: 128x40, but .*camera\.yaml is of .*128x64'):
        open_images(tmp_path, wide, rate_hz=10.0)


def test_gray_images_are_stored_as_colour(tmp_path):
    folder = tmp_path / 'town'
    folder.mkdir()
    gray = picture(0)[..., 0]
    cv2.imwrite(str(folder / '0.png'), gray)
    (content,) = open_images(tmp_path, folder, rate_hz=10.0).read()
    np.testing.assert_array_equal(content.image, np.repeat(gray[..., None], 3, axis=2))


def test_labels_of_a_distorting_lens_are_left_out_and_said_so(tmp_path):
    folder = write_images(tmp_path / 'town' / 'images', [picture(0)], names(1))
    write_images(tmp_path / 'town' / 'labels', [picture(0)], names(1))
    camera = write_camera(tmp_path / 'lens.yaml', d=(-0.2, 0.0, 0.0, 0.0, 0.0))
    source = open_source(folder, SourceOptions(camera_info=camera, rate_hz=10.0))
    assert next(source.read()).labels is None
    assert [n for n in source.notes if n.startswith('labels are of distorted images')]
