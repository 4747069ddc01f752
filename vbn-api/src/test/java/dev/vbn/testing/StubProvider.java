package dev.vbn.testing;

import dev.vbn.spi.Availability;
import dev.vbn.spi.VbnBackend;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.List;

/**
 * A provider that counts what is asked of it. Fixtures extend it and spoil one thing. It is loaded
 * by the tests' own class loader, so that a test can ask the provider that was found.
 */
public class StubProvider implements VbnProvider {
  private final String name;
  private final int priority;
  private final List<RecordingBackend> opened = new ArrayList<>();
  private int probes;

  /** A provider without fault. */
  public StubProvider(String name, int priority) {
    this.name = name;
    this.priority = priority;
  }

  /** How often {@link #probe} was asked. */
  public int probes() {
    return probes;
  }

  /** The backends that {@link #open} gave. */
  public List<RecordingBackend> opened() {
    return List.copyOf(opened);
  }

  /** The device, or the reason that there is none; fixtures override it. */
  protected Availability answer() {
    return Availability.available("device of " + name);
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public int priority() {
    return priority;
  }

  @Override
  public Class<?> tensorType() {
    return HostTensor.class;
  }

  @Override
  public Availability probe() {
    probes++;
    return answer();
  }

  @Override
  public VbnBackend<?> open() {
    RecordingBackend backend = RecordingBackend.capable();
    opened.add(backend);
    return backend;
  }
}
