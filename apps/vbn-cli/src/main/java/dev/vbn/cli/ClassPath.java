package dev.vbn.cli;

import java.io.File;
import java.io.IOException;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.ZipFile;
import picocli.CommandLine.TypeConversionException;

/** Where backends are looked for besides the tool's own class path, which "java -jar" fixes. */
final class ClassPath {
  private static final String ALL_JARS = "*";

  private final List<Path> entries = new ArrayList<>();

  private ClassPath() {}

  /**
   * The jars and directories of {@code text}, written as for {@code java -cp}: {@code DIR/*} is
   * every jar in DIR, and an empty element the current directory.
   *
   * @throws TypeConversionException if one of them is missing, or is not a jar
   */
  static ClassPath of(String text) {
    ClassPath classPath = new ClassPath();
    for (String entry : text.split(File.pathSeparator, -1)) {
      try {
        classPath.add(entry);
      } catch (IOException | InvalidPathException e) {
        throw refused(entry, "cannot be read (" + ErrorLine.describe(e) + ")");
      }
    }
    return classPath;
  }

  private void add(String entry) throws IOException {
    if (entry.equals(ALL_JARS) || entry.endsWith(File.separator + ALL_JARS)) {
      Path directory = Path.of(entry.substring(0, entry.length() - 1));
      if (!Files.isDirectory(directory)) {
        throw refused(entry, "is missing");
      }
      try (DirectoryStream<Path> jars = Files.newDirectoryStream(directory, "*.jar")) {
        jars.forEach(entries::add);
      }
      return;
    }
    Path path = Path.of(entry);
    if (!Files.exists(path)) {
      throw refused(entry, "is missing");
    }
    if (!Files.isDirectory(path)) {
      new ZipFile(path.toFile()).close(); // a class loader would pass over what is no jar
    }
    entries.add(path);
  }

  private static TypeConversionException refused(String entry, String why) {
    return new TypeConversionException("'" + entry + "' " + why
        + "; expected jars and directories, separated by '" + File.pathSeparator + "'");
  }

  /**
   * A class loader of the entries, on top of the tool's own. Nobody closes it: threads of a backend
   * may load classes to the end of the process.
   */
  ClassLoader loader() {
    URL[] urls = entries.stream().map(ClassPath::url).toArray(URL[]::new);
    return new URLClassLoader("class-path", urls, ClassPath.class.getClassLoader());
  }

  private static URL url(Path path) {
    try {
      return path.toUri().toURL();
    } catch (MalformedURLException e) {
      throw new IllegalArgumentException(e); // files have URLs
    }
  }
}
