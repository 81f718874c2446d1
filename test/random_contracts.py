"""Contracts of every kind, for property tests."""

from typing import get_args

import numpy as np
from hypothesis import strategies as st

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.contract import ModelContract
from sg_depth_ros.contract import Precision
from sg_depth_ros.contract import ScaleSource
from sg_depth_ros.contract import SelfTest

# Libraries for speed may leave their thread unable to say numbers below 1e-308: ONNX Runtime's
# set_denormal_as_zero does.
ANY_NUMBERS = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)
# Without what breaks lines and terminals, and half letters.
LETTERS = st.characters(exclude_categories=('Cc', 'Cs', 'Zl', 'Zp'))
TEXTS = st.text(LETTERS, min_size=1, max_size=30)
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
COMMITS = st.binary(min_size=20, max_size=20).map(bytes.hex)


@st.composite
def self_tests(draw, width, height):
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return SelfTest(
        random.integers(0, 256, (height, width, 3), np.uint8),
        random.uniform(0.001, 10_000, (height, width)).astype(np.float32),
    )


@st.composite
def cameras(draw):
    width, height = draw(st.integers(1, 48)), draw(st.integers(1, 48))
    return Intrinsics(
        fx=width * draw(st.floats(0.03, 100)),
        fy=height * draw(st.floats(0.03, 100)),
        cx=width * draw(st.floats(-0.99, 1.99, allow_subnormal=False)),
        cy=height * draw(st.floats(-0.99, 1.99, allow_subnormal=False)),
        width=width,
        height=height,
    )


@st.composite
def contracts(draw):
    camera = draw(cameras())
    names = draw(st.lists(TEXTS, min_size=1, max_size=25, unique=True))
    byte = st.integers(0, 255)
    min_depth_m = draw(st.floats(1e-3, 5e3))
    scale_source = draw(st.sampled_from(get_args(ScaleSource)))
    return ModelContract(
        intrinsics=camera,
        min_depth_m=min_depth_m,
        max_depth_m=2 * min_depth_m,
        metric=scale_source != 'none',
        scale_source=scale_source,
        class_names=tuple(names),
        palette=tuple(draw(st.tuples(byte, byte, byte)) for _ in names),
        network=draw(TEXTS),
        guidance=draw(TEXTS),
        precision=draw(st.sampled_from(get_args(Precision))),
        training_stage=draw(st.integers(1, 99)),
        weights_sha256=draw(DIGESTS),
        trained_width=draw(st.integers(1, 2048)),
        trained_height=draw(st.integers(1, 2048)),
        dataset_sha256=draw(DIGESTS | TEXTS.map('not known: {}'.format)),
        config_sha256=draw(DIGESTS | DIGESTS.map('weights {}'.format)),
        git_commit=draw(st.just('unknown') | COMMITS | COMMITS.map('{}-dirty'.format)),
        validation=draw(st.dictionaries(TEXTS, ANY_NUMBERS, max_size=4)),
        data_licence=draw(TEXTS),
        weights_licence=draw(TEXTS),
        self_test=draw(st.none() | self_tests(camera.width, camera.height)),
    )
