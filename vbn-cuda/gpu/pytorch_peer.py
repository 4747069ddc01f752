"""What PyTorch takes on the same device and shapes: the founding document's form, one operation after
the other, and the fused batch norm, each beside a device-to-device copy of the same tensor.

    python3 pytorch_peer.py [N,C,L ...]
"""

import statistics
import sys

try:
    import torch
except ImportError:
    sys.exit("pytorch_peer.py: python3 has no module torch; expected PyTorch with CUDA")

SHAPES = [(256, 64, 16384), (64, 16, 8192), (100, 64, 1024), (100, 1024, 8)]
EPSILON = 1e-5
WARM_UPS = 5
SAMPLES = 31


def statistics_of(x):
    mean = x.mean(dim=2, keepdim=True).mean(dim=0, keepdim=True)
    mean_square = (x**2).mean(dim=2, keepdim=True).mean(dim=0, keepdim=True)
    return mean, mean_square


def op_by_op(x, reference_mean, reference_mean_square, gamma, beta):
    """LIVE_BATCH, as the founding document writes it."""
    mean, mean_square = statistics_of(x)
    new = 1.0 / (x.size(0) + 1.0)
    mean = new * mean + (1 - new) * reference_mean
    mean_square = new * mean_square + (1 - new) * reference_mean_square
    deviation = torch.sqrt(EPSILON + mean_square - mean**2)
    x = x - mean
    x = x / deviation
    x = x * gamma
    return x + beta


def milliseconds(call):
    """Median of the device's own times."""
    for _ in range(WARM_UPS):
        call()
    times = []
    for _ in range(SAMPLES):
        start = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def forward_and_backward(forward, leaves, upstream):
    def step():
        for leaf in leaves:
            leaf.grad = None
        forward().backward(upstream)

    return step


def measure(shape):
    n, c, length = shape
    device = torch.device("cuda")
    x = torch.randn(n, c, length, device=device)
    into = torch.empty_like(x)
    upstream = torch.randn_like(x)
    gamma = torch.ones(1, c, 1, device=device, requires_grad=True)
    beta = torch.zeros(1, c, 1, device=device, requires_grad=True)
    flat_gamma = gamma.detach().reshape(c).requires_grad_()
    flat_beta = beta.detach().reshape(c).requires_grad_()
    reference = [each.detach() for each in statistics_of(torch.randn(n, c, length, device=device))]
    leaf = x.clone().requires_grad_()

    def founding(given):
        return op_by_op(given, *reference, gamma, beta)

    def fused(given):
        return torch.nn.functional.batch_norm(
            given, None, None, flat_gamma, flat_beta, training=True, eps=EPSILON
        )

    copy = milliseconds(lambda: into.copy_(x))
    rows = []
    for name, form, parameters in (
        ("founding document, eager", founding, [gamma, beta]),
        ("fused batch norm", fused, [flat_gamma, flat_beta]),
    ):
        with torch.no_grad():
            forward = milliseconds(lambda form=form: form(x))
        both = milliseconds(
            forward_and_backward(lambda form=form: form(leaf), [leaf, *parameters], upstream)
        )
        rows.append((name, forward, both))
    print(f"shape {shape}, float32; copy {copy:.4f} ms")
    print("  times a copy: forward, forward and backward")
    for name, forward, both in rows:
        print(
            f"  {name:26} {forward / copy:8.2f} {both / copy:8.2f}"
            f"   ({forward:.4f} ms, {both:.4f} ms)"
        )


def main(arguments):
    if not torch.cuda.is_available():
        sys.exit("pytorch_peer.py: PyTorch finds no CUDA device; expected one")
    shapes = [tuple(map(int, argument.split(","))) for argument in arguments] or SHAPES
    print(f"PyTorch {torch.__version__} on {torch.cuda.get_device_name()}, "
          f"median of {SAMPLES} after {WARM_UPS}")
    for shape in shapes:
        measure(shape)


if __name__ == "__main__":
    main(sys.argv[1:])
