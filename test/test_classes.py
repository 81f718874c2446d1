"""The classes are Cityscapes', in its order and colours."""

import numpy as np

from sg_depth_ros import classes


def test_there_are_cityscapes_nineteen_in_its_order():
    assert classes.CLASS_COUNT == 19
    assert classes.CLASS_NAMES[:3] == ('road', 'sidewalk', 'building')
    assert classes.CLASS_NAMES[-2:] == ('motorcycle', 'bicycle')
    assert len(set(classes.CLASS_NAMES)) == 19
    assert (classes.ROAD_ID, classes.SKY_ID, classes.CAR_ID) == (0, 10, 13)


def test_people_and_vehicles_can_move_and_nothing_else():
    movable = {classes.CLASS_NAMES[i] for i in classes.MOVABLE_IDS}
    assert movable == {
        'person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle',
    }  # fmt: skip


def test_every_class_has_a_colour_of_its_own():
    colors = {c.color for c in classes.CITYSCAPES}
    assert len(colors) == 19
    assert (0, 0, 0) not in colors


def test_colouring_takes_each_class_colour_and_leaves_the_unknown_black():
    ids = [classes.ROAD_ID, classes.SKY_ID, classes.CAR_ID, classes.UNKNOWN_ID, 19]
    picture = classes.colorize_labels(np.array([ids], np.uint8))
    assert picture.dtype == np.uint8
    assert picture[0].tolist() == [
        [128, 64, 128],
        [70, 130, 180],
        [0, 0, 142],
        [0, 0, 0],
        [0, 0, 0],
    ]


def test_the_palette_serves_every_byte():
    assert classes.palette().shape == (256, 3)
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert classes.colorize_labels(every).shape == (16, 16, 3)
