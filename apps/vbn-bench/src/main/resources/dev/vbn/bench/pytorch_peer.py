"""Computes in PyTorch what vbn-bench asks for on standard input, a line a request, and answers with a line each.

    open TASK PASS EXAMPLES ROWS FEATURES RUN EPSILON FOLDER    ok
    time MILLISECONDS                                           ok NANOSECONDS
    results                                                     ok
    close                                                       ok

Tensors lie in FOLDER as numbers of 32 bits in the machine's byte order: x, dy, reference, gamma, beta go in, y, dx,
dgamma, dbeta come out. What fails is answered with "failed" and why. The first line says which PyTorch
is here, and whether it compiles or only runs.
"""

import ctypes
import os
import sys
import time


def read(folder, name, *shape):
    with open(os.path.join(folder, name), "rb") as file:
        return torch.frombuffer(bytearray(file.read()), dtype=torch.float32).reshape(shape).clone()


def waited():
    """Nanoseconds for which this thread was ready to run and had no processor; 0 where nobody knows."""
    try:
        with open("/proc/thread-self/schedstat") as file:
            return int(file.read().split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def of_thread():
    """A clock that stands while this thread is ready to run and has no processor."""
    for _ in range(100):
        before, now = waited(), time.perf_counter_ns()
        if waited() == before:
            break
    return now - before


def founding(x, gamma, beta, mean, mean_square, weight, epsilon):
    """Virtual batch normalization as it is found on the web, after SEGAN."""
    mean = weight * x.mean((0, 2), keepdim=True) + (1 - weight) * mean
    mean_square = weight * (x * x).mean((0, 2), keepdim=True) + (1 - weight) * mean_square
    return gamma * ((x - mean) / torch.sqrt(epsilon + mean_square - mean * mean)) + beta


class Task:
    def __init__(self, task, which, examples, rows, features, run, epsilon, folder):
        rows, features, run, epsilon = int(rows), int(features), int(run), float(epsilon)
        self.folder = folder
        self.step = which == "step"
        self.x = read(folder, "x", rows, features, run)
        if task == "batch-norm":
            self.gamma, self.beta = read(folder, "gamma", features), read(folder, "beta", features)
            self.form = lambda x, gamma, beta: torch.nn.functional.batch_norm(
                x, None, None, gamma, beta, True, 0.0, epsilon)
        else:
            self.gamma, self.beta = (read(folder, name, 1, features, 1) for name in ("gamma", "beta"))
            reference = read(folder, "reference", -1, features, run)
            mean = reference.mean((0, 2), keepdim=True)
            mean_square = (reference * reference).mean((0, 2), keepdim=True)
            weight = 1 / (int(examples) + 1)
            torch._dynamo.reset()
            compiled = torch.compile(founding, dynamic=False)
            self.form = lambda x, gamma, beta: compiled(x, gamma, beta, mean, mean_square, weight, epsilon)
        self.leaves = self.x, self.gamma, self.beta
        if self.step:
            self.dy = read(folder, "dy", rows, features, run)
            for leaf in self.leaves:
                leaf.requires_grad_(True)

    def call(self):
        if not self.step:
            with torch.no_grad():
                return (self.form(*self.leaves),)
        y = self.form(*self.leaves)
        return (y, *torch.autograd.grad(y, self.leaves, self.dy))

    def time(self, milliseconds):
        start, begun = time.perf_counter_ns(), of_thread()
        now = start
        end = start + int(milliseconds) * 1_000_000
        calls = 0
        while calls == 0 or now < end:
            self.call()
            calls += 1
            now = time.perf_counter_ns()
        return (of_thread() - begun) / calls

    def results(self):
        for name, tensor in zip(("y", "dx", "dgamma", "dbeta"), self.call()):
            numbers = tensor.detach().contiguous().reshape(-1)
            with open(os.path.join(self.folder, name), "wb") as file:
                file.write(ctypes.string_at(numbers.data_ptr(), 4 * numbers.numel()))


def main():
    torch.set_num_threads(int(sys.argv[1]))
    task = None
    for line in sys.stdin:
        request, *words = line.split()
        answer = "ok"
        try:
            if request == "open":
                task = Task(*words)
                task.call()
            elif request == "time":
                answer += " %r" % task.time(*words)
            elif request == "results":
                task.results()
            else:
                task = None
        except Exception as e:
            answer = "failed " + " ".join(("%s: %s" % (type(e).__name__, e)).split())
        print(answer, flush=True)


try:
    import torch
except ImportError as e:
    print("absent %s" % e, flush=True)
else:
    print("torch %s %s" % (torch.__version__, "compiles" if hasattr(torch, "compile") else "runs"), flush=True)
    main()
