package dev.vbn.process;

import dev.vbn.VbnBackend;
import java.io.IOException;

/** Opens a backend, says so, and ends without closing it once its standard input does. */
final class Abandoned {
  private Abandoned() {}

  public static void main(String[] arguments) throws IOException {
    VbnBackend<?> backend = VbnBackend.open(new ProcessProvider(arguments[0]));
    System.out.println(backend.name());
    System.in.transferTo(System.out);
    System.exit(0);
  }
}
