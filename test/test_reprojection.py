"""The photometric error with its gradient in one go equals what reads like the formulas."""

import pytest
import torch

from training.networks.motion import Motion
from training.networks.motion import euler_to_rotation
from training.networks.motion import motion_to_transform
from training.objective import photometric_gradient
from training.objective.objective import ObjectiveConfig
from training.objective.objective import objective
from training.objective.photometric import minimum_error
from training.objective.photometric import window_mean
from training.objective.photometric import window_statistics
from training.objective.photometric_gradient import Strip
from training.objective.photometric_gradient import least_error
from training.objective.photometric_gradient import target_windows
from training.objective.photometric_gradient import window_sums
from training.objective.photometric_gradient import window_sums_adjoint
from training.objective.reprojection import reprojection
from training.objective.reprojection_gradient import reprojection_with_gradient

HEIGHT, WIDTH = 15, 21
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-5}


@pytest.fixture
def strips(monkeypatch):
    """Cut images into strips of so many rows."""

    def cut(rows, images):
        row_bytes = images[..., :1, :].numel() * images.itemsize
        monkeypatch.setitem(photometric_gradient.STRIP_BYTES, 'cpu', rows * row_bytes)

    return cut


def scene(dtype=torch.float64, contexts=2, batch=2):
    """Return images, camera, depth and motions, some of which bring pixels behind the camera."""
    torch.manual_seed(0)
    target = torch.rand(batch, 3, HEIGHT, WIDTH, dtype=dtype)
    others = torch.rand(batch, contexts, 3, HEIGHT, WIDTH, dtype=dtype)
    camera = torch.tensor([[12.0, 0, 10.25], [0, 11, 7.5], [0, 0, 1]], dtype=dtype)
    inverse_depth = 0.05 + 0.5 * torch.rand(batch, 1, HEIGHT, WIDTH, dtype=dtype)
    inverse_depth[..., ::4, ::5] = 1.9
    rotation = euler_to_rotation(0.05 * torch.randn(batch, contexts, 3, dtype=dtype))
    translation = 0.3 * torch.randn(batch, contexts, 3, dtype=dtype)
    translation[:, 0, 2] = -0.6  # past what is nearer than that
    transforms = motion_to_transform(Motion(rotation, translation))
    intrinsics = camera.expand(batch, 3, 3)
    return (target, others, intrinsics), inverse_depth.requires_grad_(), transforms


def values_and_gradients(form, images, inverse_depth, transforms, auto_mask):
    transforms = transforms.detach().requires_grad_()
    result = form(*images, transforms, auto_mask)(inverse_depth)
    gradients = torch.autograd.grad(3 * result.error, (inverse_depth, transforms))
    return *(r.to(inverse_depth.dtype) for r in result), *gradients


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32])
@pytest.mark.parametrize(('contexts', 'auto_mask'), [(2, True), (2, False), (1, True), (3, True)])
def test_error_and_gradients_equal_the_plain_form(dtype, contexts, auto_mask):
    images, inverse_depth, transforms = scene(dtype, contexts)
    plain, fast = (
        values_and_gradients(form, images, inverse_depth, transforms, auto_mask)
        for form in (reprojection, reprojection_with_gradient)
    )
    assert plain[2].abs().max() > 1e-3
    assert plain[3].abs().max() > 1e-3
    assert not auto_mask or 0.1 < plain[1] < 0.9
    for a, b in zip(fast, plain):
        torch.testing.assert_close(a, b, rtol=0, atol=TOLERANCE[dtype])


def test_gradient_is_that_of_finite_differences():
    images, inverse_depth, transforms = scene(batch=1)

    def error(inverse_depth, transforms):
        return reprojection_with_gradient(*images, transforms, True)(inverse_depth).error

    inputs = (inverse_depth, transforms.detach().requires_grad_())
    assert torch.autograd.gradcheck(error, inputs, eps=1e-7, atol=1e-5)


@pytest.mark.parametrize('rows', [1, 2, 3, 7, 100])
def test_least_error_does_not_depend_on_the_strips(rows, strips):
    torch.manual_seed(0)
    target, limit = torch.rand(2, 3, 13, 17).double(), 0.6 * torch.rand(2, 1, 13, 17).double()
    images = torch.rand(2, 2, 3, 13, 17).double().requires_grad_()
    strips(rows, images)
    expected = minimum_error(images, target, window_statistics(target))
    (gradient,) = torch.autograd.grad(torch.minimum(expected, limit).sum(), images)
    found = torch.full_like(images, torch.nan)
    with torch.no_grad():
        errors = least_error(images, target_windows(target), limit, found)
    torch.testing.assert_close(errors, expected)
    torch.testing.assert_close(found, gradient)


def test_window_sums_are_nine_window_means_and_their_transpose():
    torch.manual_seed(0)
    x, y = torch.rand(2, 1, 1, 6, 7).double()
    whole = Strip(0, 6, 6)
    sums = window_sums(x.clone(), x.new_empty(1, 1, 8, 7), whole)
    torch.testing.assert_close(sums, 9 * window_mean(x))
    transposed = window_sums_adjoint(y.clone(), x.new_empty(1, 1, 8, 7), whole)
    torch.testing.assert_close((sums * y).sum(), (x * transposed).sum())


def test_equally_good_contexts_share_no_gradient_and_the_first_has_it():
    target = torch.rand(1, 3, 8, 8)
    images = torch.rand(1, 1, 3, 8, 8).expand(1, 2, 3, 8, 8).contiguous()
    gradient = torch.empty_like(images)
    least_error(images, target_windows(target), None, gradient)
    assert gradient[:, 0].abs().max() > 0
    assert gradient[:, 1].abs().max() == 0


def test_infinite_depth_has_a_finite_gradient():
    images, inverse_depth, transforms = scene(torch.float32)
    infinite = torch.zeros_like(inverse_depth).requires_grad_()
    values = values_and_gradients(reprojection_with_gradient, images, infinite, transforms, True)
    assert all(v.isfinite().all() for v in values)


def test_compiled_error_equals_the_eager_one():
    # Traced as for any compiler, but run as it is: to compile takes a minute of a core.
    images, inverse_depth, transforms = scene(torch.float32, contexts=1)

    def error(inverse_depth, transforms):
        return reprojection(*images, transforms, True)(inverse_depth).error

    traced = torch.compile(error, backend='aot_eager')
    inputs = (inverse_depth, transforms.detach().requires_grad_())
    compiled, eager = (
        (loss, *torch.autograd.grad(loss, inputs)) for loss in (traced(*inputs), error(*inputs))
    )
    for a, b in zip(compiled, eager):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('scale', ['displacement', 'velocity', 'none'])
def test_objective_has_the_same_terms_and_gradients_in_both_forms(scale):
    torch.manual_seed(0)
    height, width = 32, 64
    target, contexts = torch.rand(2, 3, height, width), torch.rand(2, 2, 3, height, width)
    camera = torch.tensor([[40.0, 0, 31.5], [0, 40, 15.5], [0, 0, 1]]).expand(2, 3, 3)
    results = []
    for form in ('plain', 'fast'):
        torch.manual_seed(1)
        maps = tuple(
            (0.05 + 0.3 * torch.rand(2, 1, height >> s, width >> s)).requires_grad_()
            for s in range(4)
        )
        angles = (0.02 * torch.randn(2, 2, 3)).requires_grad_()
        translation = torch.randn(2, 2, 3).requires_grad_()
        terms = objective(
            maps,
            Motion(euler_to_rotation(angles), translation),
            target,
            contexts,
            camera,
            torch.tensor([[0.5, 0.7], [0.6, torch.nan]]),
            ObjectiveConfig(scale=scale),
            form,
        )
        leaves = (*maps, angles, translation)
        results.append((*terms, *torch.autograd.grad(terms.loss, leaves)))
    for plain, fast in zip(*results):
        torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-6)
