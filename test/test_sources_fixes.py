import math

import numpy as np
import pytest
from bag_messages import camera_info
from bag_messages import compressed_image
from bag_messages import nav_sat_fix
from bag_messages import twist_stamped
from bag_messages import write_bag
from recordings import CAMERA
from recordings import START_NS
from recordings import picture

from sg_depth_ros.bags.bag import StampedFix
from sg_depth_ros.errors import UserError
from training.data.sources import SourceOptions
from training.data.sources import open_source
from training.data.sources.fix_speed import speeds_of_fixes
from training.data.sources.fix_speed import tangent_steps

LATITUDE = 49.0
# Metres of a degree there: the series of the WGS 84 ellipsoid, not our formula.
_PHI = math.radians(LATITUDE)
NORTH_M = 111132.954 - 559.822 * math.cos(2 * _PHI) + 1.175 * math.cos(4 * _PHI)
EAST_M = 111412.84 * math.cos(_PHI) - 93.5 * math.cos(3 * _PHI) + 0.118 * math.cos(5 * _PHI)
IMAGES_S = np.arange(0, 10.01, 0.1)


def fix(seconds, east_m, north_m=0.0, has_fix=True, longitude=8.4):
    stamp = START_NS + round(seconds * 1e9)
    return StampedFix(
        stamp, stamp, LATITUDE + north_m / NORTH_M, longitude + east_m / EAST_M, has_fix
    )


def speeds(fixes, notes=None, seconds=IMAGES_S):
    stamps = START_NS + np.rint(np.asarray(seconds) * 1e9).astype(np.int64)
    found = speeds_of_fixes(fixes, stamps, [] if notes is None else notes)
    return np.array([np.nan if v is None else v for v in found])


def test_a_degree_is_as_long_as_on_the_ellipsoid():
    latitude = np.radians([LATITUDE, LATITUDE, LATITUDE + 0.001])
    longitude = np.radians([8.4, 8.401, 8.401])
    expected = [(0.001 * EAST_M, 0.0), (0.0, 0.001 * NORTH_M)]
    np.testing.assert_allclose(tangent_steps(latitude, longitude), expected, rtol=2e-5, atol=1e-6)
    (across,) = tangent_steps(np.radians([0.0, 0.0]), np.radians([179.9995, -179.9995]))
    assert across[0] == pytest.approx(111.32, abs=0.01)


@pytest.mark.parametrize('rate_hz', [1, 5, 10])
def test_speed_is_the_distance_between_fixes(rate_hz):
    """15 m/s, two thirds of it north, with braking at 2 m/s2 in the second half."""
    notes = []
    times = np.arange(0, 10.01, 1 / rate_hz)
    way_m = np.where(times < 5, 15 * times, 15 * times - (np.maximum(times - 5, 0)) ** 2)
    east = math.sqrt(1 - (2 / 3) ** 2)
    found = speeds([fix(t, w * east, w * 2 / 3) for t, w in zip(times, way_m)], notes)
    expected = 15 - 2 * np.maximum(IMAGES_S - 5, 0)
    known = np.isfinite(found)
    # Nothing is extrapolated: half a second at either end is unknown, less what is near.
    assert known[3:-3].all() and known.sum() < len(found)
    steady = known & (abs(IMAGES_S - 5) > 1.5)
    np.testing.assert_allclose(found[steady], expected[steady], atol=0.55)
    inner = (IMAGES_S > 6.5) & (IMAGES_S < 8.9)
    np.testing.assert_allclose(found[inner], expected[inner], atol=0.02)
    assert [n for n in notes if 'distance between GNSS fixes' in n]


def test_noise_is_smoothed():
    rng = np.random.default_rng(0)
    times = np.arange(0, 10.01, 0.1)
    fixes = [fix(t, 10 * t + n, m) for t, (n, m) in zip(times, rng.normal(0, 0.3, (101, 2)))]
    found = speeds(fixes)
    error = found[np.isfinite(found)] - 10
    assert math.sqrt((error**2).mean()) < 0.4


def test_standing_is_almost_zero():
    rng = np.random.default_rng(1)
    found = speeds([fix(t, *rng.normal(0, 0.1, 2)) for t in np.arange(0, 10.01, 0.1)])
    assert np.nanmax(found) < 0.3


def test_a_jump_gives_no_speed_and_spoils_none():
    notes = []
    times = np.arange(0, 10.01, 0.1)
    moved = [fix(t, 10 * t + (30 if t > 5.05 else 0)) for t in times]
    found = speeds(moved, notes)
    assert np.nanmax(abs(found - 10)) < 0.02
    assert 'GNSS jumps 1 times: no speed is taken across.' in notes
    outlier = [fix(t, 10 * t + (30 if abs(t - 5) < 0.01 else 0)) for t in times]
    assert np.nanmax(abs(speeds(outlier) - 10)) < 0.02


def test_gaps_and_messages_without_fix_are_unknown():
    notes = []
    times = np.arange(0, 10.01, 0.1)
    fixes = [fix(t, 10 * t, has_fix=not 3 < t < 7) for t in times]
    found = speeds(fixes, notes)
    assert np.isnan(found[(IMAGES_S > 3.3) & (IMAGES_S < 6.7)]).all()
    assert np.isfinite(found[(IMAGES_S > 0.6) & (IMAGES_S < 2.4)]).all()
    assert np.nanmax(abs(found - 10)) < 0.02
    assert '39 GNSS messages without a fix were left out.' in notes


def test_repeated_positions_are_no_standing_and_jumping():
    """Drivers send a receiver's 1 Hz position at 10 Hz under new stamps."""
    notes = []
    times = np.arange(0, 10.01, 0.1)
    found = speeds([fix(t, 12 * math.floor(t + 1e-6)) for t in times], notes)
    known = np.isfinite(found)
    assert known[10:-10].all()
    np.testing.assert_allclose(found[known], 12, atol=0.05)
    assert not [n for n in notes if 'jumps' in n]
    at_rest = speeds([fix(t, 5.0) for t in times])
    assert np.nanmax(at_rest) == 0.0
    assert np.isfinite(at_rest[10:-30]).all()


@pytest.mark.parametrize('count', [0, 1])
def test_too_few_fixes_leave_the_speed_unknown(count):
    notes = []
    assert np.isnan(speeds([fix(1.0, 0.0)] * count, notes)).all()
    assert 'no GNSS fixes near' in notes[0]


def write_gnss_bag(path, *more, longitude=8.4):
    messages = [('/camera_info', START_NS, camera_info(START_NS, CAMERA))]
    for i in range(41):
        stamp = START_NS + i * 100_000_000
        if i % 4 == 0:
            messages.append(('/image', stamp, compressed_image(stamp, picture(i))))
        position = (LATITUDE, longitude + i * 0.8 / EAST_M)
        messages.append(('/gnss/fix', stamp, nav_sat_fix(stamp, *position)))
        # Before its first fix a receiver sends nonsense.
        lost = nav_sat_fix(stamp + 50_000_000, 0.0, 0.0, status=-1 if i % 2 else 0)
        messages.append(('/gnss/fix', stamp + 50_000_000, lost))
        invalid = nav_sat_fix(stamp + 60_000_000, math.nan, 8.4)
        messages.append(('/gnss/fix', stamp + 60_000_000, invalid))
    return write_bag(path, [*messages, *more])


def test_a_bag_without_odometry_has_the_speed_of_its_fixes(tmp_path):
    source = open_source(write_gnss_bag(tmp_path / 'town'), SourceOptions())
    known = [f.speed_m_s for f in source.frames if f.speed_m_s is not None]
    assert len(known) >= 9
    assert known == pytest.approx([8.0] * len(known), abs=0.01)
    assert '82 GNSS messages without a fix were left out.' in source.notes


def test_odometry_comes_before_fixes_unless_they_are_named(tmp_path):
    twist = [('/speed', START_NS + 9, twist_stamped(START_NS + i * 10**8, 3.0)) for i in range(41)]
    path = write_gnss_bag(tmp_path / 'town', *twist)
    assert {f.speed_m_s for f in open_source(path, SourceOptions()).frames} == {3.0}
    named = open_source(path, SourceOptions(odometry_topic='/gnss/fix'))
    assert named.frames[5].speed_m_s == pytest.approx(8.0, abs=0.01)


def test_two_receivers_must_be_told_apart(tmp_path):
    other = ('/other/fix', START_NS, nav_sat_fix(START_NS, LATITUDE, 8.4))
    path = write_gnss_bag(tmp_path / 'town', other)
    with pytest.raises(UserError, match='name one of: /gnss/fix, /other/fix'):
        open_source(path, SourceOptions())
