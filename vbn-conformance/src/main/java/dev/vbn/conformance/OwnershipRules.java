package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.assertSameBits;
import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertNotSame;

import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.SecondGradients;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.TensorAccess;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Whose a tensor is: who may change it, and what its release frees. */
abstract class OwnershipRules extends Rules {
  OwnershipRules(VbnConformance kit) {
    super(kit);
  }

  private static Case sample(Variant variant) {
    VbnConfig config =
        VbnConfig.of(3).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
    return new Samples(71).of(config, new long[] {4, 3, 5}, new long[] {6, 3, 5});
  }

  /** Of several calls in turn: statistics that a live call moves drift from one to the next. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.INPUTS_UNCHANGED)
  final void inputsAreNeverChanged(Variant variant) {
    holds(() -> {
      for (DType dtype : subject().dtypes()) {
        checkInputs(subject(), sample(variant).roundedTo(dtype), dtype);
      }
    });
  }

  private static <T> void checkInputs(Subject<T> subject, Case c, DType dtype) {
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> layer = made.layer(c, dtype);
      T x = made.of(c.x(), dtype);
      T upstream = made.of(c.upstream(), dtype);
      T reference = made.of(c.reference(), dtype);
      T referenceUpstream = made.of(c.referenceUpstream(), dtype);
      GradientUpstream<T> second = Subject.second(c, dtype, made);
      VirtualBatchNorm<T> detached = layer.withReferenceGradient(ReferenceGradient.DETACHED);
      try (ReferenceOutput<T> pass = layer.reference(reference);
          ReferenceStatistics<T> alone = layer.referenceStatistics(reference)) {
        ReferenceStatistics<T> statistics = pass.statistics();
        Map<String, T> arguments = new LinkedHashMap<>();
        arguments.put("x", x);
        arguments.put("the upstream gradient", upstream);
        arguments.put("the reference batch", reference);
        arguments.put("the upstream gradient of the reference pass", referenceUpstream);
        arguments.put("gamma", requireNonNull(layer.gamma()));
        arguments.put("beta", requireNonNull(layer.beta()));
        arguments.put("the reference mean", statistics.mean());
        arguments.put("the reference variance", statistics.variance());
        arguments.put("the mean taken alone", alone.mean());
        arguments.put("the variance taken alone", alone.variance());
        arguments.put("v", second.dx());
        arguments.put("vgamma", requireNonNull(second.dgamma()));
        arguments.put("vbeta", requireNonNull(second.dbeta()));
        Map<String, HostTensor> before = hosts(subject, arguments);
        for (int call = 1; call <= 3; call++) {
          layer.reference(reference).close();
          layer.mixedStatistics(x, statistics);
          layer.forward(x, statistics).close();
          layer.forward(x, alone).close();
          try (Gradients<T> gradients = layer.backward(x, statistics, upstream)) {
            layer.referenceGradient(reference, statistics, gradients).close();
          }
          layer.referenceBackward(reference, statistics, referenceUpstream).close();
          if (subject.computes(Quantity.SECOND_X)) {
            detached.doubleBackward(x, statistics, upstream, second).close();
          }
          String hint = "It changed with call " + call + " in " + dtype
              + ": kernels change nothing but a tensor supplied for a result.";
          hosts(subject, arguments)
              .forEach(
                  (name, now) -> assertSameBits(name, requireNonNull(before.get(name)), now, hint));
        }
      }
    }
  }

  private static <T> Map<String, HostTensor> hosts(Subject<T> subject, Map<String, T> tensors) {
    Map<String, HostTensor> hosts = new LinkedHashMap<>();
    tensors.forEach((name, tensor) -> hosts.put(name, subject.host(tensor)));
    return hosts;
  }

  /** Computing anew, and freeing the results in any order, must leave the others alone. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.OWN_OUTPUT)
  final void resultsAreTensorsOfTheirOwn(Variant variant) {
    holds(() -> {
      Case c = sample(variant);
      for (DType dtype : subject().dtypes()) {
        for (int order = 0; order < 3; order++) {
          checkOwnResults(subject(), c.roundedTo(dtype), dtype, order);
        }
      }
    });
  }

  private static <T> void checkOwnResults(Subject<T> subject, Case c, DType dtype, int order) {
    Map<String, T> results = new LinkedHashMap<>();
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> layer = made.layer(c, dtype);
      T x = made.of(c.x(), dtype);
      T other = made.of(c.upstream(), dtype);
      T reference = made.of(c.reference(), dtype);
      try (ReferenceOutput<T> pass = layer.reference(reference);
          ReferenceStatistics<T> alone = layer.referenceStatistics(reference)) {
        ReferenceStatistics<T> statistics = pass.statistics();
        try (Output<T> live = layer.forward(x, statistics);
            Output<T> second = layer.forward(x, statistics);
            Gradients<T> gradients = layer.backward(x, statistics, other);
            Output<T> reached = layer.referenceGradient(reference, statistics, gradients);
            Gradients<T> own = layer.referenceBackward(reference, statistics, reference)) {
          // Taken out, so that they can be freed one by one.
          results.put("output", live.takeOutput());
          results.put("output of the same again", second.takeOutput());
          results.put("dx", gradients.takeDx());
          results.put("dgamma", gradients.takeDgamma());
          results.put("dbeta", gradients.takeDbeta());
          results.put("gradient of the reference batch", reached.takeOutput());
          results.put("dx of the reference pass", own.takeDx());
          results.put("dgamma of the reference pass", own.takeDgamma());
          results.put("dbeta of the reference pass", own.takeDbeta());
          results.put("reference output", pass.takeOutput());
        }
        if (subject.computes(Quantity.SECOND_X)) {
          VirtualBatchNorm<T> detached = layer.withReferenceGradient(ReferenceGradient.DETACHED);
          GradientUpstream<T> v = GradientUpstream.ofDx(x);
          try (SecondGradients<T> second = detached.doubleBackward(x, statistics, other, v)) {
            results.put("second gradient of x", second.takeX());
            results.put("second gradient of dy", second.takeUpstream());
            results.put("second gradient of gamma", second.takeGamma());
          }
        }
        Map<String, T> arguments = new LinkedHashMap<>();
        arguments.put("x", x);
        arguments.put("upstream", other);
        arguments.put("the reference batch", reference);
        arguments.put("gamma", requireNonNull(layer.gamma()));
        arguments.put("beta", requireNonNull(layer.beta()));
        arguments.put("the reference mean", statistics.mean());
        arguments.put("the reference variance", statistics.variance());
        arguments.put("the mean taken alone", alone.mean());
        arguments.put("the variance taken alone", alone.variance());
        checkApart(results, arguments);

        Map<String, T> watched = new LinkedHashMap<>(arguments);
        watched.putAll(results);
        Map<String, HostTensor> before = hosts(subject, watched);
        layer.reference(other).close();
        layer.forward(other, statistics).close();
        try (Gradients<T> later = layer.backward(other, statistics, x)) {
          layer.referenceGradient(x, statistics, later).close();
        }
        layer.referenceStatistics(other).close();
        assertAllStay(subject, before, watched, "A later call wrote into it.");
        for (String name : order(results.keySet(), order)) {
          watched.remove(name);
          subject.backend.release(requireNonNull(results.remove(name)));
          assertAllStay(
              subject, before, watched, "Releasing the " + name + " freed or changed it as well.");
        }
      }
    } finally {
      results.values().forEach(subject.backend::release);
    }
  }

  /** As they were made, the other way round, and at random. */
  private static List<String> order(Iterable<String> names, int order) {
    List<String> ordered = new ArrayList<>();
    names.forEach(ordered::add);
    switch (order) {
      case 1 -> Collections.reverse(ordered);
      case 2 -> Collections.shuffle(ordered, new Random(1));
      default -> {}
    }
    return ordered;
  }

  private static <T> void assertAllStay(
      Subject<T> subject, Map<String, HostTensor> before, Map<String, T> watched, String hint) {
    hosts(subject, watched)
        .forEach((name, now) -> assertSameBits(name, requireNonNull(before.get(name)), now, hint));
  }

  private static <T> void checkApart(Map<String, T> results, Map<String, T> arguments) {
    Map<String, T> known = new LinkedHashMap<>(arguments);
    results.forEach((name, tensor) -> {
      known.forEach((otherName, other) -> assertNotSame(
          other, tensor, name + " is the tensor of " + otherName + "; expected one of its own"));
      known.put(name, tensor);
    });
  }

  @Test
  @Checks(Rule.RELEASE)
  final void releasingAgainIsHarmless() {
    holds(() -> checkReleasedTwice(subject()));
  }

  private static <T> void checkReleasedTwice(Subject<T> subject) {
    Case c = sample(Variant.LIVE_BATCH).roundedTo(DType.FLOAT32);
    // By the backend's own access, so that the handle's count of tensors stays right.
    TensorAccess<T> access = subject.access();
    try (Tensors<T> made = subject.tensors()) {
      T kept = made.of(c.x(), DType.FLOAT32);
      T freed = made.of(c.upstream(), DType.FLOAT32);
      access.release(freed);
      T next = made.of(c.upstream(), DType.FLOAT32);
      access.release(freed);
      T last = made.of(c.x(), DType.FLOAT32);
      String hint = "Releasing a tensor twice frees nothing but that tensor.";
      assertSameBits("tensor made before", c.x(), subject.host(kept), hint);
      assertSameBits("tensor made between the releases", c.upstream(), subject.host(next), hint);
      assertSameBits("tensor made after", c.x(), subject.host(last), hint);
    }
  }
}
