"""The ways in which a bag is played into the node."""

from typing import Literal

Mode = Literal['lock step', 'recorded speed', 'full speed']

# In both, the node runs with processing_mode every: each image must give every output.
EVERY_MODES: tuple[Mode, ...] = ('lock step', 'full speed')
MODES: dict[str, tuple[Mode, ...]] = {  # of the command line
    'lockstep': ('lock step',),
    'recorded': ('recorded speed',),
    'fast': ('full speed',),
    'both': ('lock step', 'recorded speed'),
    'all': ('lock step', 'recorded speed', 'full speed'),
}
EXPLANATIONS: dict[Mode, str] = {
    'lock step': 'Each image was published when all outputs of the one before had come, with '
    'processing_mode every: exactly one depth image, camera_info, cloud and mask is due for '
    'each.',
    'recorded speed': 'Images were published in the rhythm in which they were recorded, with '
    'processing_mode latest: when the network is slower than the camera, images are left out so '
    'that the depth stays fresh. This is how the node runs on a vehicle.',
    'full speed': 'Images were published as fast as the node took them, with processing_mode '
    'every: some were always waiting, so that its rate is the highest this machine gives, and '
    'its latency is mostly waiting.',
}
