"""The adapter in NumPy with one fault under one condition; their names are those of the kit's own tests.

    faulty_backend.py FAULT CONDITION FOLDER

A file "altered" in the folder says that a number came out wrong. Once it has a file "stop", all calls fail at once.
Without arguments the names are printed.
"""
import os, sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "..", "adapters"))
import numpy as np
from numpy_backend import Backend, serve


def given(**changes):
    """Arguments changed before the right backend sees them."""
    def run(backend, operation, arguments):
        changed = {name: changes[name](each) if name in changes else each for name, each in arguments.items()}
        return getattr(backend, operation)(**changed)
    return run


def returned(*names, by):
    """Results changed after the right backend has given them."""
    def run(backend, operation, arguments):
        results = getattr(backend, operation)(**arguments)
        return {name: by(each) if name in names else each for name, each in results.items()}
    return run


def unbiased(backend, operation, arguments):
    results = getattr(backend, operation)(**arguments)
    if "variance" in results:
        elements = arguments["x"].size // results["variance"].size
        results["variance"] = results["variance"] * elements / max(elements - 1, 1)
    return results


def of_the_call_before(*names):
    """In the form that is due; the first call has none before it."""
    before = {}

    def run(backend, operation, arguments):
        results = getattr(backend, operation)(**arguments)
        for name in names:
            if name in results:
                key = name, results[name].shape, results[name].dtype
                last, before[key] = before.get(key, results[name]), results[name]
                results[name] = last
        return results
    return run


def swapped(values):
    flat = values.copy().ravel()
    flat[-2:] = flat[:-3:-1]
    return flat.reshape(values.shape)


def without_last(values):
    flat = values.copy().ravel()
    flat[-1] = 0
    return flat.reshape(values.shape)


def cut(values, bits=16):
    return values.ravel()[np.arange(values.size) & (1 << bits) - 1].reshape(values.shape)


def flushed(values):
    return np.where(np.abs(values) < np.finfo(values.dtype).tiny, values.dtype.type(0), values)


def next_feature(values):
    return np.roll(values, -1)


def raises(backend, operation, arguments):
    raise RuntimeError("no kernel for this")


FAULTS = {
    "VARIANCE_UNBIASED": unbiased,
    "STATISTICS_OF_THE_CALL_BEFORE": of_the_call_before("mean", "variance"),
    "WEIGHT_OF_ONE_EXAMPLE_MORE": given(weight=lambda w: w / (1 + w)),
    "WEIGHTS_SWAPPED": given(weight=lambda w: 1 - w),
    "REFERENCE_OF_THE_NEXT_FEATURE": given(mean=next_feature, variance=next_feature),
    "EPSILON_THE_DEFAULT": given(epsilon=lambda epsilon: 1e-5),
    "EPSILON_LEFT_OUT": given(epsilon=lambda epsilon: 0.0),
    "GAMMA_SQUARED": given(gamma=np.square),
    "GAMMA_LEFT_OUT": given(gamma=np.ones_like),
    "GAMMA_OF_THE_NEXT_FEATURE": given(gamma=next_feature),
    "GAMMA_WITHOUT_SIGN": given(gamma=np.abs),
    "BETA_LEFT_OUT": given(beta=np.zeros_like),
    "BETA_OF_THE_NEXT_FEATURE": given(beta=next_feature),
    "INDEX_OF_16_BITS": given(x=cut),
    "SUBNORMALS_FLUSHED": given(x=flushed),
    "INFINITY_CLIPPED": given(x=lambda x: np.nan_to_num(x, nan=np.nan)),
    "NAN_LOST": returned("output", "dx", by=lambda values: np.where(np.isnan(values), values.dtype.type(0), values)),
    "NEIGHBOURS_SWAPPED": returned("output", "dx", by=swapped),
    "LAST_ELEMENT_NOT_WRITTEN": returned("output", "dx", by=without_last),
    "FIRST_ELEMENT_OF_THE_CALL_BEFORE": of_the_call_before("output", "dx"),
    "DGAMMA_DOUBLED": returned("dgamma", by=lambda values: 2 * values),
    "DBETA_LEFT_OUT": returned("dbeta", by=np.zeros_like),
    "DMR_LEFT_OUT": returned("dmean", by=np.zeros_like),
    "DVR_DOUBLED": returned("dvariance", by=lambda values: 2 * values),
    "REACHED_WITHOUT_MEAN": given(dmean=np.zeros_like),
    "REACHED_WITHOUT_VARIANCE": given(dvariance=np.zeros_like),
    "REACHED_COUNTS_ONE_ELEMENT_MORE": given(elements=lambda elements: elements + 1),
    "THROWS": raises,
}

CONDITIONS = {
    "ALWAYS": lambda call: True,
    "IN_STATISTICS": lambda call: call.operation == "statistics",
    "IN_REFERENCE_PASS": lambda call: call.operation == "reference",
    "IN_FORWARD": lambda call: call.operation == "forward",
    "IN_BACKWARD": lambda call: call.operation == "backward" and call.weight < 1,
    "IN_BACKWARD_OF_REFERENCE_PASS": lambda call: call.operation == "backward" and call.weight == 1,
    "IN_REFERENCE_GRADIENT": lambda call: call.operation == "reference_gradient",
    "WHOLE_BATCH": lambda call: call.scope == "batch",
    "PER_EXAMPLE": lambda call: call.scope == "example",
    "REFERENCE_ONLY": lambda call: call.scope == "none",
    "WEIGHT_BELOW_A_THIRD": lambda call: 0 < call.weight < 1 / 3,
    "WEIGHT_ABOVE_A_THIRD": lambda call: 1 / 3 < call.weight < 1,
    "ATTACHED": lambda call: call.attached,
    "CHANNELS_LAST": lambda call: call.after == 1 and call.before > 1,
    "CHANNELS_MIDDLE": lambda call: call.after > 1 and call.before > 1,
    "ONE_FEATURE": lambda call: call.features == 1,
    "FEATURES_8": lambda call: call.features == 8,
    "FEATURES_12": lambda call: call.features == 12,
    "FEATURES_17": lambda call: call.features == 17,
    "FEATURES_100": lambda call: call.features == 100,
    "FEATURES_ABOVE_16_BITS": lambda call: call.features > 65535,
    "ONE_POSITION": lambda call: call.positions == 1,
    "POSITIONS_16K_LESS_1": lambda call: call.positions % 16 == 15,
    "POSITIONS_ABOVE_10_BITS": lambda call: call.positions > 1024,
    "POSITIONS_ABOVE_18_BITS": lambda call: call.positions > 1 << 18,
    "ONE_EXAMPLE": lambda call: call.examples == 1,
    "EXAMPLES_ABOVE_32": lambda call: call.examples > 32,
    "EXAMPLES_ABOVE_16_BITS": lambda call: call.examples > 65535,
    "FLOAT32": lambda call: call.x.itemsize == 4,
    "FLOAT64": lambda call: call.x.itemsize == 8,
    "EPSILON_SMALL": lambda call: 0 < call.epsilon < 1e-8,
    "EPSILON_LARGE": lambda call: call.epsilon > 0.1,
    "GAMMA_NEGATIVE": lambda call: call.gamma is not None and call.gamma[0] < 0,
    "GAMMA_ZERO": lambda call: call.gamma is not None and call.gamma[0] == 0,
    "NOT_FINITE": lambda call: not np.isfinite(call.x).all(),
    "FIRST_CALL": lambda call: call.number == 0,
    "LATER_CALLS": lambda call: call.number > 0,
    "EVERY_SECOND_CALL": lambda call: call.number % 2 == 1,
}


class Call:
    def __init__(self, operation, arguments, number):
        self.operation, self.number, self.x = operation, number, arguments["x"]
        self.examples, self.before, self.features, self.after = self.x.shape
        self.positions = self.before * self.after
        self.scope = arguments.get("scope")
        self.weight, self.epsilon = arguments.get("weight", 0), arguments.get("epsilon", 0)
        self.attached, self.gamma = arguments.get("attached", False), arguments.get("gamma")


class Faulty:
    """Each operation by the right backend, or by the fault around it."""

    def __init__(self, fault, condition, folder):
        self.right, self.fault, self.condition, self.folder = Backend(), FAULTS[fault], CONDITIONS[condition], folder
        self.name, self.capabilities, self.calls = fault + " " + condition, Backend.capabilities, {}

    def __getattr__(self, operation):
        def run(**arguments):
            if os.path.exists(os.path.join(self.folder, "stop")):
                raise RuntimeError("the kit has failed already")
            number = self.calls.get(operation, 0)
            self.calls[operation] = number + 1
            if not self.condition(Call(operation, arguments, number)):
                return getattr(self.right, operation)(**arguments)
            right = getattr(self.right, operation)(**arguments)
            try:
                results = self.fault(self.right, operation, arguments)
            except RuntimeError:
                self.altered()
                raise
            results = {name: np.asarray(each, right[name].dtype) for name, each in results.items()}
            if any(differs(results[name], right[name]) for name in right):
                self.altered()
            return results
        return run

    def altered(self):
        open(os.path.join(self.folder, "altered"), "w").close()


def differs(wrong, right):
    """By more than rounding."""
    rounding = 1e-2 if right.itemsize == 4 else 1e-6
    return not np.allclose(wrong, right, rtol=rounding, atol=0, equal_nan=True)


if len(sys.argv) == 1:
    print("\n".join(f"{fault} {condition}" for fault in FAULTS for condition in CONDITIONS))
else:
    np.seterr(all="ignore")
    serve(Faulty(*sys.argv[1:]))
