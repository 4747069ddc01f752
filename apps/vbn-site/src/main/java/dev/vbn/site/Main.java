package dev.vbn.site;

import java.io.IOException;
import java.nio.file.Path;

/** Writes the site: {@code java -jar vbn-site.jar REPOSITORY FOLDER}. */
final class Main {
  private Main() {}

  public static void main(String[] args) throws IOException {
    if (args.length != 2) {
      System.err.println("vbn-site: got " + args.length
          + " arguments; expected the folder of the repository and one to write to");
      System.exit(2);
    }
    Path folder = Path.of(args[1]);
    int pages = new Site(Path.of(args[0])).write(folder);
    System.out.println("vbn-site: " + pages + " pages in " + folder);
  }
}
