package dev.vbn.conformance.offender;

import static dev.vbn.conformance.offender.Offender.breaking;

import dev.vbn.VirtualBatchNorm;
import dev.vbn.conformance.Rule;
import dev.vbn.spi.Availability;
import dev.vbn.spi.Capability;
import dev.vbn.spi.UnsupportedCapabilityException;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.List;
import java.util.Set;

/** Faults in discovery, capabilities, refusals and conversion. */
final class ProviderOffenders {
  private ProviderOffenders() {}

  static List<Offender> all() {
    return List.of(
        breaking(
            Rule.FOUND_BY_NAME,
            "a name with a capital letter",
            "lower-case letters",
            new PlainProvider() {
              @Override
              public String name() {
                return "Plain";
              }
            }),
        breaking(
            Rule.FOUND_BY_NAME,
            "a provider that META-INF/services does not name",
            "META-INF/services/dev.vbn.spi.VbnProvider",
            new PlainProvider() {
              @Override
              public String name() {
                return "unlisted";
              }
            }),
        breaking(
                Rule.PROBE_IS_A_VALUE,
                "a probe without a description",
                "description() is blank",
                new PlainProvider() {
                  @Override
                  public Availability probe() {
                    return Availability.available(" ");
                  }
                })
            .alsoFailing(Rule.FOUND_BY_NAME),
        breaking(
                Rule.TENSOR_TYPE,
                "a provider that names another tensor type than its backend",
                "tensorType() of the provider",
                new PlainProvider() {
                  @Override
                  public Class<?> tensorType() {
                    return HostTensor.class;
                  }
                })
            .alsoFailing(Rule.FOUND_BY_NAME),
        breaking(
                Rule.PROMISED_CAPABILITIES,
                "a capability promised and lost",
                "capabilities promised",
                () -> new PlainBackend(Set.of(Capability.FLOAT64)))
            .promising(Capability.FLOAT64, Capability.CALLER_SUPPLIED_OUTPUT),
        breaking(
            Rule.ABSENT_TYPE,
            "a capability there, but not declared",
            "FLOAT16 is declared absent, and fromHost does not refuse it",
            () -> new PlainBackend() {
              @Override
              public Strided fromHost(HostTensor host, DType dtype) {
                return dtype == DType.FLOAT16
                    ? Strided.of(host, dtype)
                    : super.fromHost(host, dtype);
              }
            }),
        breaking(
            Rule.ABSENT_TYPE,
            "an absent type refused with another exception",
            "does not refuse it so",
            () -> new PlainBackend() {
              @Override
              public Strided fromHost(HostTensor host, DType dtype) {
                if (dtype == DType.BFLOAT16) {
                  throw new IllegalArgumentException("no such type: " + dtype);
                }
                return super.fromHost(host, dtype);
              }
            }),
        breaking(
            Rule.ABSENT_TYPE,
            "a refusal that names another capability",
            "capability that the refusal names",
            () -> new PlainBackend() {
              @Override
              public Strided fromHost(HostTensor host, DType dtype) {
                if (dtype == DType.BFLOAT16) {
                  throw new UnsupportedCapabilityException(Capability.FLOAT16, "no 16-bit types");
                }
                return super.fromHost(host, dtype);
              }
            }),
        breaking(
                Rule.ABSENT_TYPE,
                "a capability declared, and refused when used",
                "is declared, and fromHost refuses it",
                () -> new PlainBackend(Set.of(Capability.FLOAT64, Capability.FLOAT16)) {
                  @Override
                  public Strided fromHost(HostTensor host, DType dtype) {
                    if (dtype == DType.FLOAT16) {
                      throw new UnsupportedCapabilityException(
                          Capability.FLOAT16, "FLOAT16 was asked for");
                    }
                    return super.fromHost(host, dtype);
                  }
                })
            .alsoFailing(
                Rule.STATISTICS,
                Rule.SPLIT,
                Rule.LIVE_BATCH,
                Rule.BATCH,
                Rule.PER_EXAMPLE,
                Rule.POOLED,
                Rule.REFERENCE_ONLY,
                Rule.REFERENCE_PASS,
                Rule.MIXED_STATISTICS,
                Rule.SCALE_AND_CENTER,
                Rule.COMPANIONS,
                Rule.RESULT_FORM,
                Rule.INPUT_GRADIENT,
                Rule.GAMMA_GRADIENT,
                Rule.BETA_GRADIENT,
                Rule.REFERENCE_GRADIENT,
                Rule.DETACHED,
                Rule.REFERENCE_PASS_GRADIENT,
                Rule.GRADIENT_FORM,
                Rule.NOT_A_NUMBER,
                Rule.INFINITY,
                Rule.SAME_BITS,
                Rule.ROUND_TRIP,
                Rule.COPIES,
                Rule.PLAIN_STATISTICS)
            .promising(Capability.FLOAT64, Capability.FLOAT16),
        breaking(
                Rule.ABSENT_OUTPUT,
                "capabilities that differ in the forward pass",
                "an output is not refused",
                () -> new TwoFaced("forward"))
            .promising(Capability.FLOAT64),
        breaking(
                Rule.ABSENT_OUTPUT,
                "capabilities that differ in the backward pass",
                "a tensor for dx is not refused",
                () -> new TwoFaced("backward"))
            .promising(Capability.FLOAT64),
        breaking(
            Rule.BAD_SHAPES,
            "a shape that hides a sixth axis",
            "rank is 6",
            () -> new PlainBackend() {
              @Override
              public long[] shape(Strided tensor) {
                long[] shape = super.shape(tensor);
                return shape.length <= 5 ? shape : Arrays.copyOf(shape, 5);
              }
            }),
        breaking(
            Rule.BAD_SHAPES,
            "another error for bad input",
            "IllegalArgumentException",
            () -> new PlainBackend() {
              @Override
              public DType dtype(Strided tensor) {
                if (tensor.shape().length > 5) {
                  throw new UnsupportedOperationException("six axes");
                }
                return super.dtype(tensor);
              }
            }),
        breaking(
            Rule.ROUND_TRIP,
            "values cut off on the way in",
            "Round to nearest even",
            () -> new PlainBackend() {
              @Override
              public Strided fromHost(HostTensor host, DType dtype) {
                Strided tensor = super.fromHost(host, dtype);
                for (int i = 0; dtype == DType.FLOAT32 && i < host.size(); i++) {
                  if (Math.abs(tensor.get(i)) > Math.abs(host.get(i))) {
                    tensor.data()[i] = Math.nextAfter((float) tensor.get(i), 0);
                  }
                }
                return tensor;
              }
            }),
        breaking(
                Rule.COPIES,
                "a tensor over the host's own array",
                "fromHost copies",
                () -> new PlainBackend() {
                  @Override
                  public Strided fromHost(HostTensor host, DType dtype) {
                    Strided copy = super.fromHost(host, dtype);
                    return dtype == DType.FLOAT64 && host.dtype() == dtype
                        ? new Strided(dtype, copy.shape(), host.doubles(), 0, copy.strides())
                        : copy;
                  }
                })
            .alsoFailing(Rule.SUPPLIED_DX),
        breaking(
            Rule.COPIES,
            "a host tensor over the backend's own array",
            "toHost copies",
            () -> new PlainBackend() {
              @Override
              public HostTensor toHost(Strided tensor) {
                HostTensor copy = super.toHost(tensor);
                return tensor.dtype() == DType.FLOAT64 && tensor.data().length == tensor.size()
                    ? HostTensor.of(tensor.data(), tensor.shape())
                    : copy;
              }
            }),
        breaking(
            Rule.COPIES,
            "the shape itself handed out",
            "shape after a copy of it changed",
            () -> new PlainBackend() {
              @Override
              public long[] shape(Strided tensor) {
                super.shape(tensor);
                return tensor.shape();
              }
            }),
        breaking(
            Rule.PLAIN_STATISTICS,
            "only statistics of its own making normalise right",
            "Statistics made from arrays",
            OwnStatisticsOnly::new));
  }

  /** Tells the layer that it has what it denies to everybody else. */
  private static final class TwoFaced extends PlainBackend {
    private final String method;

    TwoFaced(String method) {
      super(Set.of(Capability.FLOAT64));
      this.method = method;
    }

    @Override
    public Set<Capability> capabilities() {
      boolean layer = StackWalker.getInstance()
          .walk(frames ->
              frames.anyMatch(frame -> frame.getClassName().equals(VirtualBatchNorm.class.getName())
                  && frame.getMethodName().equals(method)));
      return layer ? CAPABILITIES : super.capabilities();
    }
  }
}
