import numpy as np
import pytest

from sg_depth_ros.bags.bag import open_bag
from sg_depth_ros.bags.writer import BagWriter
from sg_depth_ros.errors import UserError


def test_an_mcap_file_that_broke_off_is_read_as_far_as_it_is_whole(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (400, 600, 3), np.uint8)
    with BagWriter(tmp_path / 'bag', 'mcap') as writer:
        for number in range(8):
            writer.image('/camera/image', number * 10**8, 'camera', image)
    file = next((tmp_path / 'bag').glob('*.mcap'))
    whole = file.read_bytes()
    with open_bag(tmp_path / 'bag') as bag:
        assert not bag.broken_off
    file.write_bytes(whole[: len(whole) * 2 // 3])
    for path in (tmp_path / 'bag', file):
        with open_bag(path) as bag:
            assert bag.broken_off
            images = list(bag.images(bag.camera()))
            assert 3 <= len(images) < 8
            assert all(np.array_equal(i.image, image) for i in images)
            assert len(list(bag.messages('/camera/image', since_ns=10**8))) == len(images) - 1
    file.write_bytes(whole[:300])
    with pytest.raises(UserError, match='broke off before the first'), open_bag(file):
        pass
