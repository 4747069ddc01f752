package dev.vbn.bench;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.Objects.requireNonNull;

import dev.vbn.Variant;
import dev.vbn.bench.Comparison.Series;
import dev.vbn.spi.Availability;
import dev.vbn.spi.Geometry;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * PyTorch in Python, in a process of its own that keeps the time itself: the form that is found on
 * the web through {@code torch.compile}, and its batch norm. The environment variable {@value #PYTHON}
 * names the interpreter; default {@code python3}.
 */
final class PytorchContender implements Contender {
  static final String PYTHON = "VBN_PYTHON";
  private static final String SCRIPT = "pytorch_peer.py";

  private final boolean batchNorm;
  private final int threads;

  private PytorchContender(boolean batchNorm, int threads) {
    this.batchNorm = batchNorm;
    this.threads = threads;
  }

  static PytorchContender compiled(int threads) {
    return new PytorchContender(false, threads);
  }

  static PytorchContender batchNorm(int threads) {
    return new PytorchContender(true, threads);
  }

  @Override
  public String name() {
    return batchNorm ? "PyTorch, batch norm" : "PyTorch, compiled";
  }

  @Override
  public Kind kind() {
    return Kind.PEER;
  }

  @Override
  public Task task() {
    return batchNorm ? Task.BATCH_NORM : Task.VIRTUAL_BATCH_NORM;
  }

  /** Compiling takes it seconds for each shape. */
  @Override
  public boolean takesPart(Comparison comparison) {
    return comparison.series() == Series.SHAPES;
  }

  @Override
  public Availability probe() {
    Peer peer = Peer.of(threads);
    if (!peer.hello.startsWith("torch ")) {
      return Availability.unavailable(peer.hello, null);
    }
    String[] words = peer.hello.split(" ", -1);
    if (!batchNorm && !words[2].equals("compiles")) {
      return Availability.unavailable(
          "PyTorch " + words[1] + " has no torch.compile; expected 2.0 or newer", null);
    }
    return Availability.available("PyTorch " + words[1] + " in Python, " + Units.threads(threads));
  }

  @Override
  public Optional<Prepared> prepare(Workload workload, Pass pass) {
    return pass != Pass.BACKWARD
            && workload.config().variant() == Variant.LIVE_BATCH
            && workload.mask() == null
            && workload.x().dtype() == DType.FLOAT32
        ? Optional.of(new Asked(workload, pass))
        : Optional.empty();
  }

  /** The process, one in each JVM; it ends with its standard input. */
  private static final class Peer {
    private static @Nullable Peer started;

    /** What it said of itself, or why it is not there. */
    private final String hello;

    private @Nullable BufferedReader from;
    private @Nullable Writer to;

    static synchronized Peer of(int threads) {
      Peer peer = started;
      if (peer == null) {
        peer = new Peer(threads);
        started = peer;
      }
      return peer;
    }

    private Peer(int threads) {
      String python = System.getenv().getOrDefault(PYTHON, "python3");
      String said;
      try (InputStream script = PytorchContender.class.getResourceAsStream(SCRIPT)) {
        String program = new String(requireNonNull(script).readAllBytes(), UTF_8);
        Process process = new ProcessBuilder(python, "-c", program, Integer.toString(threads))
            .redirectError(ProcessBuilder.Redirect.DISCARD)
            .start();
        from = process.inputReader(UTF_8);
        to = process.outputWriter(UTF_8);
        said = from.readLine();
      } catch (IOException e) {
        said = "no " + python + " here: " + e.getMessage();
      }
      hello = said == null
          ? python + " does not run"
          : said.startsWith("absent ") ? python + ": " + said.substring("absent ".length()) : said;
    }

    /** Sends a request, and returns the answer. */
    String ask(String request) {
      try {
        requireNonNull(to).write(request + "\n");
        requireNonNull(to).flush();
        String answer = requireNonNull(from).readLine();
        if (answer == null || !answer.startsWith("ok")) {
          throw new IllegalStateException(
              "PyTorch " + (answer == null ? "ended" : answer) + " when asked to " + request);
        }
        return answer.substring("ok".length()).strip();
      } catch (IOException e) {
        throw new UncheckedIOException("PyTorch ended when asked to " + request, e);
      }
    }
  }

  private final class Asked implements Prepared {
    private final Peer peer = Peer.of(threads);
    private final Pass pass;
    private final long[] shape;
    private final int features;
    private final Path folder;

    Asked(Workload workload, Pass pass) {
      this.pass = pass;
      shape = workload.x().shape();
      features = workload.gamma().size();
      Geometry geometry = Geometry.of(shape, workload.config().featureAxis());
      try {
        folder = Files.createTempDirectory("vbn-bench-pytorch-");
        write("x", workload.x());
        write("reference", workload.reference());
        write("gamma", workload.gamma());
        write("beta", workload.beta());
        if (pass == Pass.STEP) {
          write("dy", workload.upstream());
        }
        peer.ask(String.join(
            " ",
            "open",
            batchNorm ? "batch-norm" : "compiled",
            pass == Pass.STEP ? "step" : "forward",
            Long.toString(shape[0]),
            Long.toString(geometry.batch() * geometry.before()),
            Integer.toString(features),
            Long.toString(geometry.after()),
            Double.toString(workload.config().epsilon()),
            folder.toString()));
        deleteAll();
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      } catch (RuntimeException e) {
        delete();
        throw e;
      }
    }

    private void delete() {
      try {
        deleteAll();
        Files.deleteIfExists(folder);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }

    private void write(String name, HostTensor tensor) throws IOException {
      float[] floats = tensor.floats();
      byte[] bytes = new byte[Math.multiplyExact(floats.length, Float.BYTES)];
      ByteBuffer.wrap(bytes).order(ByteOrder.nativeOrder()).asFloatBuffer().put(floats);
      Files.write(folder.resolve(name), bytes);
    }

    private HostTensor read(String name, long... of) throws IOException {
      byte[] bytes = Files.readAllBytes(folder.resolve(name));
      HostTensor tensor = HostTensor.zeros(DType.FLOAT32, of);
      ByteBuffer.wrap(bytes).order(ByteOrder.nativeOrder()).asFloatBuffer().get(tensor.floats());
      return tensor;
    }

    private void deleteAll() throws IOException {
      for (String name :
          List.of("x", "reference", "gamma", "beta", "y", "dx", "dy", "dgamma", "dbeta")) {
        Files.deleteIfExists(folder.resolve(name));
      }
    }

    @Override
    public Object run() {
      return peer.ask("time 0");
    }

    @Override
    public double nanoseconds(long milliseconds) {
      return Double.parseDouble(peer.ask("time " + milliseconds));
    }

    @Override
    public List<HostTensor> results() {
      peer.ask("results");
      try {
        List<HostTensor> results = new ArrayList<>(List.of(read("y", shape)));
        if (pass == Pass.STEP) {
          results.add(read("dx", shape));
          results.add(read("dgamma", features));
          results.add(read("dbeta", features));
        }
        deleteAll();
        return results;
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }

    @Override
    public void close() {
      delete();
      peer.ask("close");
    }
  }
}
