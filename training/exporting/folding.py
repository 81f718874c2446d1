"""
What ``export`` does with PackNet's packings: two convolutions become one where that is exact.

Packings that pad once fold without changing the function. Those that pad before each convolution,
as published weights do, change at the border, and through the normalisation everywhere a little:
they fold only where asked to.
"""

from typing import NamedTuple

from training.networks.guided import GuidedDepthNetwork
from training.networks.packing import Pack
from training.networks.packnet import PackNetEncoder
from training.networks.packnet import fold_packing


class Folding(NamedTuple):
    """What was done to a network's packings before it was exported."""

    packings: int  # 0: the network has none
    folded: bool
    exact: bool  # whether folding leaves the function as it is
    saved_gmac: float  # for one image; 0 where nothing was folded, or could have been saved


def fold_for_export(
    network: GuidedDepthNetwork, height: int, width: int, *, fold_inexact: bool = False
) -> tuple[GuidedDepthNetwork, Folding]:
    """
    Fold the packings of a network, if it has any.

    :param network: stays as it is.
    :param height: of the image, in pixels; ``width`` likewise.
    :param fold_inexact: also where that changes the function.
    :return: the network to export, and what was done.
    """
    encoder = network.depth.encoder
    if not isinstance(encoder, PackNetEncoder):
        return network, Folding(0, False, True, 0.0)
    packs = [part for part in encoder.packs if isinstance(part, Pack)]
    exact = all(pack.padding == 'once' for pack in packs)
    # The first packing gives maps of stride 2.
    saved = sum(
        _saved_per_pixel(pack) * (height * width >> 2 * stage)
        for stage, pack in enumerate(packs, start=1)
    )
    if not exact and not fold_inexact:
        return network, Folding(len(packs), False, exact, 0.0)
    return fold_packing(network), Folding(len(packs), True, exact, saved / 1e9)


def _saved_per_pixel(pack: Pack) -> int:
    """Return how many multiplications folding saves per pixel that the packing gives."""
    channels, stacked, kernel_size, _ = pack.conv.weight.shape
    packed = stacked // pack.conv3d.out_channels
    unfolded = pack.conv3d.weight.numel() * packed + pack.conv.weight.numel()
    return unfolded - channels * packed * (kernel_size + 2) ** 2
