"""
Edge-aware smoothness of inverse depth.

    |dx d*| e^{-|dx I|} + |dy d*| e^{-|dy I|},  d* = d / mean(d)

Source: Godard et al., ICCV 2019, equation 3; the normalisation: Wang et al., CVPR 2018.
"""

from torch import Tensor


def smoothness(inverse_depth: Tensor, image: Tensor) -> Tensor:
    """
    Penalise slopes of inverse depth where the image has none.

    :param inverse_depth: d (B, 1, H, W).
    :param image: I (B, 3, H, W) in 0..1.
    :return: a scalar.
    """
    d = inverse_depth / inverse_depth.mean((2, 3), keepdim=True).clamp(min=1e-7)
    dx_d = (d[..., :, 1:] - d[..., :, :-1]).abs()  # [B, 1, H, W - 1]
    dy_d = (d[..., 1:, :] - d[..., :-1, :]).abs()  # [B, 1, H - 1, W]
    dx_i = (image[..., :, 1:] - image[..., :, :-1]).abs().mean(1, keepdim=True)
    dy_i = (image[..., 1:, :] - image[..., :-1, :]).abs().mean(1, keepdim=True)
    return (dx_d * (-dx_i).exp()).mean() + (dy_d * (-dy_i).exp()).mean()
