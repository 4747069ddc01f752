package dev.vbn.djl;

import ai.djl.ndarray.NDArray;
import dev.vbn.VbnBackend;
import dev.vbn.VbnBackends;
import java.io.IOException;
import java.net.Proxy;
import java.net.URL;
import java.net.URLConnection;
import java.net.URLStreamHandler;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/** A program that opens {@code djl} and prints to which addresses connections were to be made. */
final class Connections {
  private static final List<String> ADDRESSES = new CopyOnWriteArrayList<>();

  private Connections() {}

  /** Records, and has no network. */
  private static final class Recording extends URLStreamHandler {
    @Override
    protected URLConnection openConnection(URL url) throws IOException {
      ADDRESSES.add(url.toString());
      throw new IOException("no network in this program");
    }

    @Override
    protected URLConnection openConnection(URL url, Proxy proxy) throws IOException {
      return openConnection(url);
    }
  }

  @SuppressWarnings("SystemOut")
  public static void main(String[] args) {
    URL.setURLStreamHandlerFactory(
        protocol -> protocol.startsWith("http") ? new Recording() : null);
    try (VbnBackend<NDArray> backend = VbnBackends.find().open("djl", NDArray.class)) {
      System.out.println("opened " + backend.description());
    }
    System.out.println("connections " + ADDRESSES);
  }
}
