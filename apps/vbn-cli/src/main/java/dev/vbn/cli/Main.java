package dev.vbn.cli;

import dev.vbn.Variant;
import dev.vbn.spi.Capability;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.UnsupportedCapabilityException;
import dev.vbn.tensor.DType;
import java.io.PrintWriter;
import java.nio.charset.Charset;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.MissingParameterException;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.RunLast;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.Spec;
import picocli.CommandLine.TypeConversionException;
import picocli.CommandLine.UnmatchedArgumentException;

/**
 * The command-line tool. It exits with 0 when all went well, 2 for bad input and 1 for any other
 * failure; every failure is one line on standard error.
 */
@Command(
    name = "vbn",
    description = "Virtual batch normalization.",
    subcommands = {
      DemoCommand.class,
      BackendsCommand.class,
      NormalizeCommand.class,
      GradientCommand.class,
      ConformCommand.class
    },
    footer = {
      "",
      "Beside the sources, './vbn bench' measures how fast the backends are.",
      "Exit codes: 0 done, 1 a backend or the machine failed, 2 bad input.",
      "'vbn COMMAND --help' shows the options of a command."
    })
public final class Main implements Callable<Integer> {
  private static final int FAILED = 1;
  private static final int BAD_INPUT = 2;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      scope = ScopeType.INHERIT,
      description = "Shows this text.")
  @SuppressWarnings("unused") // picocli looks at it
  private boolean help;

  @Option(
      names = "--trace",
      scope = ScopeType.INHERIT,
      description = "Shows the stack trace of a failure too.")
  private boolean trace;

  @Option(
      names = "--class-path",
      paramLabel = "JARS",
      scope = ScopeType.INHERIT,
      description =
          "Jars and directories of more backends and what they need, written as for 'java -cp'.")
  private @Nullable ClassPath classPath;

  @Spec
  @SuppressWarnings("NullAway.Init") // picocli sets it
  private CommandSpec spec;

  private Main() {}

  /** Runs a command and exits. */
  public static void main(String[] args) {
    main(List.of(), args);
  }

  /**
   * Runs a command and exits.
   *
   * @param more commands that the tool has too, each a {@link Command}
   */
  public static void main(List<? extends Callable<Integer>> more, String... args) {
    PrintWriter out = new PrintWriter(System.out, true, Charset.defaultCharset());
    PrintWriter err = new PrintWriter(System.err, true, Charset.defaultCharset());
    int code = run(out, err, more, args);
    if (out.checkError() && code == 0) { // it is flushed first
      err.println("vbn: standard output could not be written");
      code = FAILED;
    }
    err.flush();
    System.exit(code);
  }

  /**
   * Runs a command.
   *
   * @return the exit code
   */
  public static int run(PrintWriter out, PrintWriter err, String... args) {
    return run(out, err, List.of(), args);
  }

  /**
   * Runs a command.
   *
   * @param more commands that the tool has too, each a {@link Command}
   * @return the exit code
   */
  public static int run(
      PrintWriter out, PrintWriter err, List<? extends Callable<Integer>> more, String... args) {
    Main main = new Main();
    CommandLine commandLine = new CommandLine(main);
    more.forEach(commandLine::addSubcommand); // first: converters go to the commands there are
    commandLine
        .registerConverter(Variant.class, oneOf("variant", Variant.values(), Variant::label))
        .registerConverter(
            DType.class,
            oneOf("dtype", new DType[] {DType.FLOAT32, DType.FLOAT64}, Main::lowerCase))
        .registerConverter(
            ReferenceGradient.class,
            oneOf("reference gradient", ReferenceGradient.values(), Main::lowerCase))
        .registerConverter(
            Capability.class, oneOf("capability", Capability.values(), Capability::name))
        .registerConverter(ClassPath.class, ClassPath::of)
        .registerConverter(Path.class, Main::path)
        .registerConverter(Double.class, Main::number)
        .registerConverter(int.class, Main::integer)
        .registerConverter(Integer.class, Main::integer)
        .setExpandAtFiles(false)
        .setUsageHelpAutoWidth(true)
        .setOut(out)
        .setErr(err)
        .setParameterExceptionHandler(
            (refused, arguments) -> main.report(err, new BadInputException(words(refused))))
        .setExecutionStrategy(main::execute)
        .setExecutionExceptionHandler((failure, line, result) -> main.report(err, failure));
    try {
      return commandLine.execute(args);
    } catch (Error e) { // out of memory, a class missing or too new
      return main.report(err, e);
    }
  }

  /** Runs the command with the loader of backends as the thread's, where JUnit too looks for it. */
  private int execute(ParseResult command) {
    Thread thread = Thread.currentThread();
    ClassLoader before = thread.getContextClassLoader();
    thread.setContextClassLoader(
        classPath == null ? Main.class.getClassLoader() : classPath.loader());
    try {
      return new RunLast().execute(command);
    } finally {
      thread.setContextClassLoader(before);
    }
  }

  @Override
  public Integer call() {
    throw new BadInputException("no command was given; expected " + commands(spec));
  }

  private static String commands(CommandSpec tool) {
    String listed = String.join(", ", tool.subcommands().keySet());
    int last = listed.lastIndexOf(", ");
    return listed.substring(0, last) + " or " + listed.substring(last + 2)
        + " ('vbn --help' tells more)";
  }

  private int report(PrintWriter err, Throwable failure) {
    boolean badInput =
        failure instanceof BadInputException || failure instanceof UnsupportedCapabilityException;
    String message = failure.getMessage();
    err.println("vbn: "
        + (badInput && message != null ? ErrorLine.of(message) : ErrorLine.describe(failure)));
    if (trace) {
      failure.printStackTrace(err);
    }
    err.flush();
    return badInput ? BAD_INPUT : FAILED;
  }

  private static String words(ParameterException refused) {
    CommandLine commandLine = refused.getCommandLine();
    String command = commandLine.getCommandSpec().qualifiedName();
    if (refused instanceof UnmatchedArgumentException unmatched
        && commandLine.getParent() == null
        && !unmatched.getUnmatched().isEmpty()) {
      return "'" + unmatched.getUnmatched().get(0) + "' is no command; expected "
          + commands(commandLine.getCommandSpec());
    }
    // Converters have said what they expected.
    if (refused.getCause() instanceof TypeConversionException) {
      return String.valueOf(refused.getMessage());
    }
    // What is missing may well be missing because it was misspelt.
    List<String> unmatched = commandLine.getUnmatchedArguments();
    String what = refused instanceof MissingParameterException && !unmatched.isEmpty()
        ? new UnmatchedArgumentException(commandLine, unmatched).getMessage()
        : refused.getMessage();
    return what + "; expected what '" + command + " --help' shows";
  }

  private static <E> ITypeConverter<E> oneOf(String what, E[] values, Function<E, String> label) {
    return text -> Arrays.stream(values)
        .filter(value -> label.apply(value).equals(text))
        .findFirst()
        .orElseThrow(() -> {
          List<String> labels = Arrays.stream(values).map(label).toList();
          return new TypeConversionException(
              what + " is '" + text + "'; expected " + String.join(", ", labels));
        });
  }

  private static Path path(String text) {
    try {
      if (!text.isEmpty()) {
        return Path.of(text);
      }
    } catch (InvalidPathException e) {
      // refused as no name is
    }
    throw new TypeConversionException("given '" + text + "'; expected the name of a file");
  }

  private static Double number(String text) {
    try {
      return Double.valueOf(text);
    } catch (NumberFormatException e) {
      throw new TypeConversionException("given '" + text + "'; expected a number such as 1e-5");
    }
  }

  private static Integer integer(String text) {
    try {
      return Integer.valueOf(text);
    } catch (NumberFormatException e) {
      throw new TypeConversionException(
          "given '" + text + "'; expected a whole number such as 1 or -1");
    }
  }

  static String lowerCase(Enum<?> value) {
    return value.name().toLowerCase(Locale.ROOT).replace('_', '-');
  }
}
