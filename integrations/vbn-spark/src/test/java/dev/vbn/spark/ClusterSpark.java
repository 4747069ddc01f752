package dev.vbn.spark;

import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.spark.sql.SparkSession;

/**
 * Sessions with two executors in JVMs of their own. These have Spark's jars by SPARK_HOME, as nodes of
 * a cluster do, and VBN's by spark.jars alone.
 */
final class ClusterSpark {
  private ClusterSpark() {}

  /** @param jars which of VBN's jars executors get, by name */
  static SparkSession start(Predicate<String> jars) throws IOException {
    Path home = Path.of(System.getenv("SPARK_HOME"));
    Path nodes = Files.createDirectories(home.resolve("jars"));
    try (Stream<Path> before = Files.list(nodes)) {
      for (Path jar : before.toList()) { // of another version of Spark, perhaps
        Files.delete(jar);
      }
    }
    List<Path> ours = new ArrayList<>();
    for (String entry : System.getProperty("java.class.path").split(File.pathSeparator, 0)) {
      Path jar = Path.of(entry);
      String name = jar.getFileName().toString();
      if (name.startsWith("vbn-")) {
        ours.add(jar);
      } else if (name.endsWith(".jar")) {
        Files.createSymbolicLink(nodes.resolve(name), jar);
      }
    }
    if (ours.stream().noneMatch(jar -> jar.getFileName().toString().startsWith("vbn-spark"))) {
      throw new IllegalStateException(
          "no jar of vbn-spark among " + ours + "; expected one, as the phase verify has it");
    }
    String given = Stream.concat(
            ours.stream().filter(jar -> jars.test(jar.getFileName().toString())),
            Stream.of(tests(home)))
        .map(Path::toString)
        .collect(Collectors.joining(","));
    SparkSession spark = SparkSession.builder()
        .master("local-cluster[2,1,1024]")
        .appName("vbn cluster tests")
        .config("spark.executor.memory", "512m")
        .config("spark.executorEnv.JAVA_HOME", System.getProperty("java.home"))
        .config("spark.jars", given)
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate();
    return spark;
  }

  /** The functions of the tests, which run on executors too. */
  private static Path tests(Path home) throws IOException {
    Path classes = Path.of("target", "test-classes");
    Path jar = home.resolve("tests.jar");
    try (OutputStream file = Files.newOutputStream(jar);
        JarOutputStream out = new JarOutputStream(file);
        Stream<Path> all = Files.walk(classes)) {
      for (Path each : all.filter(Files::isRegularFile).toList()) {
        out.putNextEntry(
            new JarEntry(classes.relativize(each).toString().replace(File.separatorChar, '/')));
        Files.copy(each, out);
      }
    }
    return jar;
  }
}
