package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.assertSameBits;
import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;

import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.SecondGradients;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Capability;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.TensorAccess;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
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

  /** What is long may be kept elsewhere, and computed later, or by others. */
  private static Case large(Variant variant) {
    VbnConfig config =
        VbnConfig.of(160).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
    return new Samples(71).of(config, new long[] {40, 160, 13}, new long[] {40, 160, 13});
  }

  /**
   * The reference has mean 0 and, with epsilon, variance 1, and no gradient comes from above: what
   * gives back its argument, or one tensor for all zeros, gives itself away.
   */
  private static Case unchanging(Variant variant) {
    VbnConfig config = VbnConfig.of(3)
        .withVariant(variant)
        .withEpsilon(0.75)
        .withReferenceGradient(ReferenceGradient.ATTACHED);
    Case c = new Samples(71).of(config, new long[] {4, 3, 5}, new long[] {6, 3, 4});
    double[] signs = new double[6 * 3 * 4];
    Arrays.setAll(signs, i -> i % 2 == 0 ? 0.5 : -0.5);
    return c.withReference(HostTensor.of(signs, 6, 3, 4), c.referenceUpstream())
        .withLive(c.x(), Layouts.filled(c.upstream(), 0))
        .bare();
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

  /** Arguments may be freed, and their memory used again, before a result is looked at. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.OWN_OUTPUT)
  final void resultsDoNotNeedTheirArguments(Variant variant) {
    holds(() -> {
      for (DType dtype : subject().dtypes()) {
        checkArgumentsFreed(subject(), sample(variant).roundedTo(dtype), dtype);
      }
      DType dtype = byTurn(variant);
      checkArgumentsFreed(subject(), large(variant).roundedTo(dtype), dtype);
    });
  }

  private <T> void checkArgumentsFreed(Subject<T> subject, Case c, DType dtype) {
    Computed expected = Rules.right(subject, c, dtype);
    List<Runnable> results = new ArrayList<>();
    try (Tensors<T> junk = subject.tensors()) {
      Output<T> live;
      Output<T> reached;
      Gradients<T> gradients;
      Gradients<T> own;
      SecondGradients<T> second = null;
      ReferenceStatistics<T> alone;
      try (Tensors<T> made = subject.tensors()) {
        VirtualBatchNorm<T> layer = made.layer(c, dtype);
        T x = made.of(c.x(), dtype);
        T upstream = made.of(c.upstream(), dtype);
        T reference = made.of(c.reference(), dtype);
        try (ReferenceOutput<T> pass = layer.reference(reference)) {
          ReferenceStatistics<T> statistics = pass.statistics();
          alone = layer.referenceStatistics(reference);
          results.add(alone::close);
          live = layer.forward(x, statistics);
          results.add(live::close);
          gradients = layer.backward(x, statistics, upstream);
          results.add(gradients::close);
          reached = layer.referenceGradient(reference, statistics, gradients);
          results.add(reached::close);
          own =
              layer.referenceBackward(reference, statistics, made.of(c.referenceUpstream(), dtype));
          results.add(own::close);
          if (subject.computes(Quantity.SECOND_X)) {
            second = layer
                .withReferenceGradient(ReferenceGradient.DETACHED)
                .doubleBackward(x, statistics, upstream, Subject.second(c, dtype, made));
            results.add(second::close);
          }
        }
        for (T each : List.of(x, upstream, reference)) {
          kit.overwrite(subject.backend, each, Layouts.filled(subject.host(each), 7));
        }
      }
      for (HostTensor each : List.of(c.x(), c.upstream(), c.reference(), c.referenceUpstream())) {
        junk.of(Layouts.filled(each, 7), dtype);
      }
      for (int i = 0; i < 4; i++) {
        junk.of(Layouts.filled(requireNonNull(c.gamma()), 7), dtype.parameterType());
      }
      Map<Quantity, T> read = new LinkedHashMap<>();
      read.put(Quantity.DGAMMA, gradients.dgamma());
      read.put(Quantity.DBETA, gradients.dbeta());
      read.put(Quantity.DX, gradients.dx());
      read.put(Quantity.OUTPUT, live.output());
      read.put(Quantity.DREFERENCE, reached.output());
      read.put(Quantity.REFERENCE_DX, own.dx());
      read.put(Quantity.REFERENCE_DGAMMA, own.dgamma());
      read.put(Quantity.REFERENCE_DBETA, own.dbeta());
      if (second != null) {
        read.put(Quantity.SECOND_X, second.x());
        read.put(Quantity.SECOND_UPSTREAM, second.upstream());
        read.put(Quantity.SECOND_GAMMA, second.gamma());
      }
      read.put(Quantity.LONE_MEAN, alone.mean());
      read.put(Quantity.LONE_VARIANCE, alone.variance());
      read.forEach((quantity, tensor) -> assertSameBits(
          quantity.label() + " of " + c.describe() + ", in " + dtype
              + ", read after its arguments were freed",
          expected.of(quantity),
          subject.host(tensor),
          "A result is complete before its arguments may go."));
    } finally {
      results.forEach(Runnable::run);
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
        checkOwnResults(subject(), unchanging(variant).roundedTo(dtype), dtype, 0);
      }
      DType dtype = byTurn(variant);
      checkOwnResults(subject(), large(variant).roundedTo(dtype), dtype, 2);
    });
  }

  private <T> void checkOwnResults(Subject<T> subject, Case c, DType dtype, int order) {
    Map<String, T> results = new LinkedHashMap<>();
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> layer = made.layer(c, dtype);
      T x = made.of(c.x(), dtype);
      T other = made.of(c.upstream(), dtype);
      T reference = made.of(c.reference(), dtype);
      try (ReferenceOutput<T> pass = layer.reference(reference);
          ReferenceStatistics<T> alone = layer.referenceStatistics(reference)) {
        ReferenceStatistics<T> statistics = pass.statistics();
        checkAfterClosed(subject, layer, reference, statistics);
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
        T gamma = layer.gamma();
        T beta = layer.beta();
        if (gamma != null && beta != null) {
          arguments.put("gamma", gamma);
          arguments.put("beta", beta);
        }
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
        results.forEach((name, result) -> {
          HostTensor junk = Layouts.filled(subject.host(result), 7);
          if (kit.overwrite(subject.backend, result, junk)) {
            before.put(name, junk);
            assertAllStay(subject, before, watched, "It changed with the " + name + ".");
          }
        });
        if (subject.has(Capability.CALLER_SUPPLIED_OUTPUT)) {
          for (String name : List.of("output", "dx")) {
            layer
                .forwardInto(requireNonNull(results.get(name)), other, statistics)
                .close();
            before.remove(name);
            watched.remove(name);
            assertAllStay(subject, before, watched, "It changed with the " + name + ".");
          }
        }
        for (String name : order(results.keySet(), order)) {
          watched.remove(name);
          T released = requireNonNull(results.remove(name));
          HostTensor junk = Layouts.filled(subject.host(released), 7);
          subject.backend.release(released);
          made.of(junk, dtype);
          assertAllStay(
              subject, before, watched, "Releasing the " + name + " freed or changed it as well.");
        }
      }
    } finally {
      results.values().forEach(subject.backend::release);
    }
  }

  /** Nothing reaches the reference batch from its own pass but by dx, whatever was closed before. */
  private static <T> void checkAfterClosed(
      Subject<T> subject,
      VirtualBatchNorm<T> layer,
      T reference,
      ReferenceStatistics<T> statistics) {
    layer.referenceBackward(reference, statistics, reference).close();
    try (Gradients<T> gradients = layer.referenceBackward(reference, statistics, reference);
        Output<T> reached = layer.referenceGradient(reference, statistics, gradients)) {
      HostTensor actual = subject.host(reached.output());
      assertSameBits(
          "gradient of the reference batch by the statistics of its own pass",
          Layouts.filled(actual, 0),
          Layouts.mapped(actual, each -> each + 0.0), // -0 is 0
          "Closing the gradients of one call frees nothing of the next.");
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
    holds(() -> {
      checkReleasedTwice(subject(), sample(Variant.LIVE_BATCH).roundedTo(DType.FLOAT32));
      checkReleasedTwice(subject(), large(Variant.LIVE_BATCH).roundedTo(DType.FLOAT32));
    });
  }

  /**
   * Where release leaves a tensor to the garbage collector, it stays what it was; else every kind is
   * refused, and nothing is left of the refusal.
   */
  @Test
  @Checks(Rule.RELEASE)
  final void whatWasReleasedIsRefusedOrAsBefore() {
    holds(() -> checkReleased(subject()));
  }

  private static <T> void checkReleased(Subject<T> subject) {
    TensorAccess<T> access = subject.access();
    Case c = sample(Variant.BATCH);
    Computed expected = Rules.right(subject, c, DType.FLOAT32);
    Set<Boolean> refused = new LinkedHashSet<>();
    for (DType dtype : subject.dtypes()) {
      for (long[] shape : new long[][] {{3}, {200}, {4, 3}, {4, 3, 5}, {40, 160, 13}}) {
        HostTensor host = new Samples(72).normal(0, 1, shape).to(dtype);
        String which = " of a released tensor of shape " + Arrays.toString(shape) + " in " + dtype;
        T tensor = access.fromHost(host, dtype);
        access.release(tensor);
        Check.current().compared();
        refused.add(isRefused("shape" + which, () -> access.shape(tensor)));
        refused.add(isRefused("dtype" + which, () -> access.dtype(tensor)));
        refused.add(isRefused(
            "toHost" + which,
            () -> assertSameBits(
                "elements" + which, host, access.toHost(tensor), "Nothing has freed it.")));
        assertEquals(
            1,
            refused.size(),
            "shape, dtype and toHost" + which
                + ": some are refused and some are not; expected all kinds of tensors to be alike");
      }
    }
    String hint = "A refusal leaves nothing behind.";
    assertEqualBits(", after refusals", expected, subject.run(c, DType.FLOAT32), hint);
    CallingThread.WITHOUT_CLASS_LOADER.run(() -> assertEqualBits(
        ", in another thread after refusals", expected, subject.run(c, DType.FLOAT32), hint));
  }

  private static boolean isRefused(String what, Runnable call) {
    try {
      call.run();
      return false;
    } catch (IllegalStateException e) {
      return true;
    } catch (RuntimeException e) {
      throw new AssertionError(what + " threw " + e + "; expected IllegalStateException", e);
    }
  }

  private static <T> void checkReleasedTwice(Subject<T> subject, Case c) {
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
