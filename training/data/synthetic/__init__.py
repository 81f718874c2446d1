"""The synthetic drive: a procedural street, ray-cast, with ground truth."""

from training.data.synthetic.layout import SyntheticDrive
from training.data.synthetic.layout import SyntheticFrame
from training.data.synthetic.layout import read_synthetic

__all__ = ['SyntheticDrive', 'SyntheticFrame', 'read_synthetic']
