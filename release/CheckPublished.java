import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import javax.xml.parsers.DocumentBuilderFactory;
import org.w3c.dom.Element;
import org.w3c.dom.Node;

/**
 * Looks at a folder that a release was published to, and says what is missing, wrong or too much
 * there, by what Maven Central demands and this project promises: java release/CheckPublished.java
 * FOLDER. The modules are those that vbn-bom of that folder lists.
 */
final class CheckPublished {
  private static final List<String> DEMANDED = List.of(
      "name",
      "description",
      "url",
      "licenses/license/name",
      "licenses/license/url",
      "developers/developer/name",
      "scm/connection",
      "scm/developerConnection",
      "scm/url");

  private static final Map<String, String> CHECKSUMS = Map.of("md5", "MD5", "sha1", "SHA-1");

  private final List<String> faults = new ArrayList<>();
  private final Path group;
  private final String version;
  private int files;

  private CheckPublished(Path group, String version) {
    this.group = group;
    this.version = version;
  }

  public static void main(String[] args) throws Exception {
    if (args.length != 1) {
      System.err.println("CheckPublished: got " + args.length + " arguments; expected a folder");
      System.exit(2);
    }
    Path group = Path.of(args[0], "dev", "vbn");
    List<String> versions = folders(group.resolve("vbn-bom"));
    if (versions.size() != 1) {
      System.err.println("CheckPublished: versions of vbn-bom " + versions + "; expected one");
      System.exit(1);
    }
    CheckPublished check = new CheckPublished(group, versions.get(0));
    check.all(Path.of(args[0]));
    check.faults.forEach(System.err::println);
    System.out.println(
        "CheckPublished: " + check.files + " files of version " + check.version + " in " + args[0] + ", "
            + check.faults.size() + " faults");
    System.exit(check.faults.isEmpty() ? 0 : 1);
  }

  private void all(Path folder) throws Exception {
    Set<String> jars = modulesOfTheBom();
    Set<String> expected = new TreeSet<>(jars);
    expected.addAll(Set.of("vbn-bom", "vbn-parent"));
    Set<String> found = new TreeSet<>(folders(group));
    require(found.equals(expected), "modules " + found + "; expected " + expected);
    try (Stream<Path> all = Files.walk(folder)) {
      for (Path file : all.filter(Files::isRegularFile).toList()) {
        files++;
        require(!file.toString().contains("SNAPSHOT"), file + " is a snapshot");
        require(file.startsWith(group), file + " is not of dev.vbn");
      }
    }
    for (String module : expected) {
      if (found.contains(module)) {
        module(module, jars.contains(module));
      }
    }
  }

  private Set<String> modulesOfTheBom() throws Exception {
    Element bom = xml(file("vbn-bom", ".pom"));
    require(child(bom, "parent").isEmpty(), "vbn-bom has a parent, whose versions it would bring along");
    Set<String> modules = new LinkedHashSet<>();
    for (Element dependency : elements(bom, "dependencyManagement/dependencies/dependency")) {
      modules.add(text(dependency, "artifactId"));
    }
    require(modules.size() > 5, "vbn-bom lists " + modules);
    return modules;
  }

  private void module(String module, boolean jar) throws Exception {
    require(
        folders(group.resolve(module)).equals(List.of(version)),
        module + " has " + folders(group.resolve(module)) + "; expected " + version);
    Set<String> expected = new TreeSet<>(List.of(".pom", "-cyclonedx.json"));
    if (jar) {
      expected.addAll(List.of(".jar", "-sources.jar", "-javadoc.jar"));
    }
    if (module.equals("vbn-cli")) {
      expected.add("-standalone.jar");
    }
    Set<String> found = new TreeSet<>();
    Path folder = group.resolve(module).resolve(version);
    String prefix = module + "-" + version;
    try (Stream<Path> all = Files.list(folder)) {
      for (Path each : all.toList()) {
        String name = each.getFileName().toString();
        require(name.startsWith(prefix), each + "; expected a name that begins with " + prefix);
        if (!name.matches(".*\\.(md5|sha1|sha256|sha512|asc)")) {
          found.add(name.substring(Math.min(prefix.length(), name.length())));
        }
      }
    }
    require(found.equals(expected), module + " has " + found + "; expected " + expected);
    found.retainAll(expected);
    for (String suffix : found) {
      checksums(file(module, suffix));
      if (suffix.endsWith(".jar")) {
        jar(file(module, suffix), suffix);
      }
    }
    pom(module);
    sbom(module, jar);
  }

  private void checksums(Path file) throws IOException {
    boolean signed = Files.exists(Path.of(file("vbn-bom", ".pom") + ".asc"));
    require(!signed || Files.exists(Path.of(file + ".asc")), file + " is not signed, as others are");
    for (Map.Entry<String, String> checksum : CHECKSUMS.entrySet()) {
      Path sum = Path.of(file + "." + checksum.getKey());
      if (!Files.exists(sum)) {
        faults.add(sum + " is missing");
        continue;
      }
      try {
        byte[] digest = MessageDigest.getInstance(checksum.getValue()).digest(Files.readAllBytes(file));
        String hex = HexFormat.of().formatHex(digest);
        require(Files.readString(sum).strip().equals(hex), sum + " is not that of the file, " + hex);
      } catch (NoSuchAlgorithmException e) {
        throw new IllegalStateException(e);
      }
    }
  }

  private void jar(Path file, String suffix) throws IOException {
    try (ZipFile zip = new ZipFile(file.toFile())) {
      for (String licence : List.of("META-INF/LICENSE", "META-INF/NOTICE")) {
        ZipEntry entry = zip.getEntry(licence);
        if (entry == null) {
          faults.add(file + " has no " + licence);
        } else {
          try (InputStream in = zip.getInputStream(entry)) {
            String words = new String(in.readAllBytes(), StandardCharsets.UTF_8);
            String expected = licence.endsWith("LICENSE") ? "Apache License" : "VBN authors";
            require(words.contains(expected), licence + " of " + file + "; expected '" + expected + "'");
          }
        }
      }
      List<String> names = zip.stream().map(ZipEntry::getName).toList();
      require(
          names.stream().noneMatch(name -> name.matches("dev/vbn/.*(Test|IT)(\\$.*)?\\.(class|java|html)")),
          file + " holds tests");
      String kind =
          switch (suffix) {
            case "-sources.jar" -> ".*\\.java";
            case "-javadoc.jar" -> "index\\.html";
            default -> "dev/vbn/.*\\.class";
          };
      require(names.stream().anyMatch(name -> name.matches(kind)), file + " holds nothing like " + kind);
      require(names.stream().noneMatch(name -> name.matches(".*\\.(woff2?|ttf)")), file + " holds fonts");
    }
  }

  private void pom(String module) throws Exception {
    Path file = file(module, ".pom");
    Element own = xml(file);
    Element parent = module.equals("vbn-bom") ? own : xml(file("vbn-parent", ".pom"));
    for (String path : DEMANDED) {
      boolean inherited = !path.equals("name") && !path.equals("description");
      require(
          !elements(own, path).isEmpty() || (inherited && !elements(parent, path).isEmpty()),
          file + " has no " + path + ", nor has its parent");
    }
    require(!Files.readString(file).contains("SNAPSHOT"), file + " names a snapshot");
    require(elements(own, "repositories").isEmpty(), file + " names repositories");
    for (Element dependency : elements(own, "dependencies/dependency")) {
      require(!"system".equals(text(dependency, "scope")), file + " has a dependency of scope system");
    }
  }

  private void sbom(String module, boolean jar) throws IOException {
    String json = Files.readString(file(module, "-cyclonedx.json"));
    String purl = "pkg:maven/dev.vbn/" + module + "@" + version + "?type=" + (jar ? "jar" : "pom");
    for (String expected : List.of("\"CycloneDX\"", "\"purl\" : \"" + purl + "\"")) {
      require(json.contains(expected), "the SBOM of " + module + " lacks " + expected);
    }
    require(!json.contains("SNAPSHOT"), "the SBOM of " + module + " names a snapshot");
  }

  private Path file(String module, String suffix) {
    return group.resolve(module).resolve(version).resolve(module + "-" + version + suffix);
  }

  private void require(boolean right, String fault) {
    if (!right) {
      faults.add(fault);
    }
  }

  private static List<String> folders(Path parent) {
    try (Stream<Path> all = Files.list(parent)) {
      return all.filter(Files::isDirectory).map(each -> each.getFileName().toString()).sorted().toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static Element xml(Path file) throws Exception {
    return DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(file.toFile()).getDocumentElement();
  }

  private static List<Element> child(Element parent, String name) {
    return IntStream.range(0, parent.getChildNodes().getLength())
        .mapToObj(parent.getChildNodes()::item)
        .filter(node -> node.getNodeType() == Node.ELEMENT_NODE && node.getNodeName().equals(name))
        .map(Element.class::cast)
        .toList();
  }

  private static List<Element> elements(Element from, String path) {
    List<Element> found = List.of(from);
    for (String name : path.split("/", -1)) {
      found = found.stream().flatMap(each -> child(each, name).stream()).toList();
    }
    return found.stream().filter(each -> !each.getTextContent().isBlank()).toList();
  }

  private static String text(Element parent, String name) {
    return child(parent, name).stream().map(Node::getTextContent).findFirst().orElse("");
  }
}
