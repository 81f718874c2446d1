"""The heads say inverse depth in float32, whatever the network computes in."""

import torch

from training.networks.inverse_depth import InverseDepthHead
from training.networks.inverse_depth import InverseDepthMapping


def test_mixed_precision_leaves_no_steps_in_inverse_depth():
    torch.manual_seed(0)
    head = InverseDepthHead(8, InverseDepthMapping('bounded', 0.5, 100.0, 15.0))
    features = torch.randn(1, 8, 32, 32).bfloat16()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        mixed = head(features)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, head(features.float()), rtol=1e-5, atol=0)
    assert mixed.unique().numel() > 900  # of 1024: no steps
