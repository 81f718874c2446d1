"""Constants in half precision: whether they fit, and how the weights of a filter are rounded."""

import numpy as np
from numpy.typing import NDArray

LARGEST = float(np.finfo(np.float16).max)
ROUNDING = 2.0**-10  # relative; rounding a normal number costs at most half of it


def fits_half(constant: NDArray[np.generic]) -> bool:
    """
    Say whether half precision holds a constant, up to its ordinary rounding.

    It does not where a number is too large, nor where numbers are so small that they would lose
    bits or vanish. Of a filter that counts for its weights together: a few that are small beside
    the others do no harm.

    :param constant: float32 of any shape; the first axis of a weight counts its filters.
    """
    value = constant.astype(np.float64)
    if not value.size:
        return True
    # Not "any is larger": what is no number is not held either.
    if not np.all(np.abs(value) <= LARGEST):
        return False
    error = value.astype(np.float16).astype(np.float64) - value
    rows = value.shape[0] if value.ndim else 1
    lost = np.linalg.norm(error.reshape(rows, -1), axis=1)
    size = np.linalg.norm(value.reshape(rows, -1), axis=1)
    # Filters without any weight to speak of, as training leaves them, say nothing either way.
    typical = np.sqrt(np.mean(size**2))
    return bool(np.all(lost <= ROUNDING * np.maximum(size, typical)))


def to_half(constant: NDArray[np.generic]) -> NDArray[np.float16]:
    """
    Round a constant to half precision; the weights of a convolution so that their sums stay.

    Where an image is even, a saturated sky say, a kernel answers with the sum of its weights, and
    rounding each for itself moves that sum everywhere alike: in a trained network that was the
    largest error in depth by far. So each weight of a kernel also takes the rounding error of
    those before it, the largest weight first, and of the sum only the last, smallest error is
    left.

    :param constant: float32; with four axes (O, I, kh, kw) the weight of a convolution.
    """
    if constant.ndim != 4 or constant.shape[2] * constant.shape[3] == 1:
        return constant.astype(np.float16)
    kernels = constant.reshape(-1, constant.shape[2] * constant.shape[3]).astype(np.float64)
    order = np.argsort(-np.abs(kernels), axis=1)
    left = np.take_along_axis(kernels, order, axis=1)
    rounded = np.empty(kernels.shape, np.float16)
    carried = np.zeros(len(kernels))
    for position in range(kernels.shape[1]):
        wanted = left[:, position] + carried
        rounded[:, position] = wanted
        carried = wanted - rounded[:, position]
    result = np.empty_like(rounded)
    np.put_along_axis(result, order, rounded, axis=1)
    return result.reshape(constant.shape)
