package dev.vbn.process;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.BackendFailedException;
import dev.vbn.BackendUnavailableException;
import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Availability;
import dev.vbn.state.NamedTensors;
import dev.vbn.state.Safetensors;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What becomes of programs that leave the protocol. None of them hangs a call or outlives it. */
class HostileProgramTest {
  private static final Duration PLENTY = Duration.ofMinutes(2);
  private static final HostTensor BATCH = HostTensor.of(new float[] {1, 2, 3, 4}, 2, 2);

  @TempDir
  Path folder;

  private Path file() {
    return folder.resolve("file");
  }

  private ProcessProvider provider(String way) {
    return new ProcessProvider(HostileProgram.command(way, file()), PLENTY);
  }

  private VbnBackend<HostTensor> open(String way) {
    return VbnBackend.open(provider(way));
  }

  /** One request, {@code forward}. */
  private static HostTensor forward(VbnBackend<HostTensor> backend, HostTensor x) {
    HostTensor zeros = HostTensor.zeros(DType.FLOAT64, 2);
    ReferenceStatistics<HostTensor> statistics =
        ReferenceStatistics.wrap(backend, zeros, zeros, 1, 1);
    try (Output<HostTensor> output =
        VirtualBatchNorm.of(backend, VbnConfig.of(2)).forward(x, statistics)) {
      return output.takeOutput();
    }
  }

  private static String verdict(VbnBackend<HostTensor> backend, HostTensor x) {
    BackendFailedException failed =
        assertThrows(BackendFailedException.class, () -> forward(backend, x));
    assertInstanceOf(ProcessFailedException.class, failed.getCause());
    return failed.getCause().getMessage();
  }

  private static void assertContains(String message, String... parts) {
    for (String part : parts) {
      assertTrue(message.contains(part), () -> "'" + message + "' has no '" + part + "'");
    }
  }

  @Test
  void whoKeepsToTheProtocolIsAnswered() {
    try (VbnBackend<HostTensor> backend = open("tame")) {
      assertArrayEquals(BATCH.floats(), forward(backend, BATCH).floats());
      assertEquals("hostile, by " + HostileProgram.command("tame", file()), backend.description());
    }
  }

  @ParameterizedTest
  @CsvSource(delimiter = '|', textBlock = """
      prints-first           | it begins with 'Loading the model...\\n
      of-version-2           | vbn is '2'; expected 1
      without-name           | name is missing; expected vbn, name and capabilities
      of-unknown-capability  | capability 'TELEPATHY' is declared; expected some of [FLOAT64
      of-foreign-capability  | capability 'CALLER_SUPPLIED_OUTPUT' is declared; expected some of
      """)
  void whoIntroducesItselfWronglyIsUnavailable(String way, String verdict) {
    Availability availability = provider(way).probe();
    assertFalse(availability.available());
    assertContains(availability.description(), "'hello' was answered", verdict);
  }

  @Test
  void whoDeclaresHalfOf64BitsIsRefused() {
    BackendUnavailableException refused =
        assertThrows(BackendUnavailableException.class, () -> open("half-of-64-bits"));
    assertContains(refused.getMessage(), "expected FLOAT64_STATISTICS with FLOAT64");
  }

  /** Many, for whether its words are read before its streams are closed is a matter of moments. */
  @Test
  void theLastWordsOfWhoEndsAreNotLost() {
    for (int i = 0; i < 100; i++) {
      Availability availability =
          new ProcessProvider("echo parting $((6 * 7)) >&2; exit 3", PLENTY).probe();
      assertContains(availability.description(), "ended with exit code 3", "parting 42");
    }
  }

  @Test
  void aCommandThatIsNotThereIsUnavailable() {
    Availability availability = new ProcessProvider("no-such-program-at-all", PLENTY).probe();
    assertFalse(availability.available());
    assertContains(
        availability.description(),
        "'no-such-program-at-all': 'hello' was not answered: it ended with exit code 127",
        "its last words on standard error:",
        "not found");
  }

  @ParameterizedTest
  @CsvSource(delimiter = '|', textBlock = """
      prints          | it begins with 'step 1 done\\n
      dies            | it ended with exit code 3; its last words on standard error: device 0 is out of memory
      dies-midway     | it ended with exit code 4, in the midst of an answer; it wrote nothing to standard error
      closes          | it closed its standard input or output
      short           | output is FLOAT32 [1]; expected FLOAT32 [2, 1, 2, 1]
      without-output  | tensors are []; expected [output]
      with-more       | ; expected [output]
      of-another-call | call is '77'; expected 1, the one of the request
      garbage         | it begins with '\\x07\\x01 no message at all'
      no-json         | header is no JSON object
      endless         | header of 2000000000 bytes of data; expected at most 1048608
      wide            | output is FLOAT64 [2, 1, 2, 1]; expected FLOAT32
      """)
  void whoAnswersWronglyGetsAVerdict(String way, String verdict) {
    try (VbnBackend<HostTensor> backend = open(way)) {
      assertContains(verdict(backend, BATCH), "'forward' was ", verdict);
    }
  }

  @Test
  void afterOneThatDiedAnotherTakesTheNextCall() {
    try (VbnBackend<HostTensor> backend = open("dies")) {
      assertContains(verdict(backend, BATCH), "it ended with exit code 3");
      assertContains(verdict(backend, BATCH), "it ended with exit code 3");
    }
  }

  @Test
  void whoDeclares64BitsAndAnswersWith32GetsAVerdict() {
    try (VbnBackend<HostTensor> backend = open("narrow")) {
      assertArrayEquals(BATCH.floats(), forward(backend, BATCH).floats());
      assertContains(
          verdict(backend, BATCH.to(DType.FLOAT64)),
          "output is FLOAT32 [2, 1, 2, 1]; expected FLOAT64 [2, 1, 2, 1]");
    }
  }

  /** Whatever is behind an answer is found where the next one should begin. */
  @ParameterizedTest
  @CsvSource(delimiter = '|', textBlock = """
      twice     | call is '1'; expected 2, the one of the request
      with-rest | was answered with what is no message
      """)
  void whoAnswersTooMuchGetsAVerdictAtTheNextCall(String way, String verdict) {
    try (VbnBackend<HostTensor> backend = open(way)) {
      assertArrayEquals(BATCH.floats(), forward(backend, BATCH).floats());
      assertContains(verdict(backend, BATCH), verdict);
    }
  }

  @Test
  void anErrorIsToldAndTheProcessGoesOn() {
    try (VbnBackend<HostTensor> backend = open("errs")) {
      assertContains(
          verdict(backend, BATCH), "'forward' was answered with the error 'matrix is\\nsingular'");
      assertArrayEquals(BATCH.floats(), forward(backend, BATCH).floats());
    }
  }

  @Test
  void aFloodOfStandardErrorBlocksNothingAndItsEndIsQuoted() {
    try (VbnBackend<HostTensor> backend = open("floods")) {
      assertArrayEquals(BATCH.floats(), forward(backend, BATCH).floats());
      String verdict = verdict(backend, BATCH);
      assertContains(verdict, "exit code 5", "| that was the last of it");
      assertTrue(verdict.length() < 3000, () -> verdict.length() + " characters");
    }
  }

  @Test
  void anotherProcessThatSaysOtherwiseIsRefused() {
    try (VbnBackend<HostTensor> backend = openAfterProbe("turncoat")) {
      assertContains(verdict(backend, BATCH), "exit code 3");
      assertContains(
          verdict(backend, BATCH),
          "says Hello[name=hostile, capabilities=[]]; expected Hello[name=hostile, capabilities=[",
          "as the first said");
    }
  }

  /** The probe starts a process too. */
  private VbnBackend<HostTensor> openAfterProbe(String way) {
    ProcessProvider provider = provider(way);
    assertTrue(provider.probe().available());
    assertTrue(file().toFile().delete());
    return VbnBackend.open(provider);
  }

  /** By a shell, which starts fast enough for a short time limit. */
  @Test
  void whoHangsIsGivenUpWithinTheTimeLimitWithItsChildren() throws Exception {
    Path hello = folder.resolve("hello");
    try (OutputStream out = Files.newOutputStream(hello)) {
      Safetensors.write(
          out,
          new NamedTensors(
              Map.of(),
              Map.of(
                  "call", "0", "vbn", "1", "name", "stuck", "capabilities", "FLOAT64_STATISTICS")));
    }
    String command = "sleep 1000 & echo $! > '" + file() + "'; echo waiting for a lock >&2; cat '"
        + hello + "'; wait";
    ProcessProvider provider = new ProcessProvider(command, Duration.ofSeconds(3));
    try (VbnBackend<HostTensor> backend = VbnBackend.open(provider)) {
      assertContains(
          verdict(backend, BATCH),
          "'forward' was not answered within 3.00 s",
          "its last words on standard error: waiting for a lock");
      assertEnded(Long.parseLong(Files.readString(file()).strip()));
      assertContains(verdict(backend, BATCH), "was given up: ", "not answered within 3.00 s");
    }
  }

  @Test
  void whoHangsBeforeItsFirstAnswerIsUnavailable() {
    ProcessProvider provider =
        new ProcessProvider("echo starting >&2; exec sleep 1000", Duration.ofSeconds(2));
    assertContains(
        provider.probe().description(),
        "'hello' was not answered within 2.00 s; its last words on standard error: starting");
  }

  @ParameterizedTest
  @ValueSource(strings = {"has-child", "stays"})
  void closingEndsTheProcessAndItsChildren(String way) throws Exception {
    long child;
    try (VbnBackend<HostTensor> backend = open(way)) {
      forward(backend, BATCH);
      child = Long.parseLong(Files.readString(file()).strip());
      assertTrue(ProcessHandle.of(child).isPresent());
    }
    assertEnded(child);
  }

  /** The orphan holds standard output open, and is nobody's child. */
  @Test
  void anOrphanOfAProcessThatDiesEndsWithIt() throws Exception {
    try (VbnBackend<HostTensor> backend = open("has-orphan")) {
      long orphan = Long.parseLong(Files.readString(file()).strip());
      assertContains(verdict(backend, BATCH), "it ended with exit code 3");
      assertEnded(orphan);
    }
  }

  /** By its own exit, and by a signal. */
  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void aUserThatEndsWithoutClosingLeavesNothingRunning(boolean byItself) throws Exception {
    Process user = new ProcessBuilder(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-cp",
            System.getProperty("java.class.path"),
            Abandoned.class.getName(),
            HostileProgram.command("has-child", file()))
        .redirectError(ProcessBuilder.Redirect.INHERIT)
        .start();
    try {
      assertEquals("process", user.inputReader(UTF_8).readLine());
      long child = Long.parseLong(Files.readString(file()).strip());
      List<Long> started = user.descendants().map(ProcessHandle::pid).toList();
      assertTrue(started.contains(child), () -> started + " without " + child);
      if (byItself) {
        user.getOutputStream().close();
      } else {
        user.destroy();
      }
      assertTrue(user.waitFor(1, TimeUnit.MINUTES));
      for (long each : started) {
        assertEnded(each);
      }
    } finally {
      user.destroyForcibly();
    }
  }

  /** A process that has ended may still be listed until its parent has been told. */
  private static void assertEnded(long pid) throws Exception {
    Optional<ProcessHandle> process = ProcessHandle.of(pid);
    Path status = Path.of("/proc", Long.toString(pid), "stat");
    if (process.isPresent()
        && !(Files.exists(status) && Files.readString(status).contains(") Z "))) {
      process.get().onExit().get(1, TimeUnit.MINUTES);
    }
  }

  @Test
  void callsOfManyThreadsEachGetTheirOwnAnswer() throws Exception {
    ExecutorService threads = Executors.newFixedThreadPool(4);
    try (VbnBackend<HostTensor> backend = open("tame")) {
      List<Callable<HostTensor>> calls = IntStream.range(0, 200)
          .<Callable<HostTensor>>mapToObj(i ->
              () -> forward(backend, HostTensor.of(new float[] {i, 2, 3, 4}, 2, 2)))
          .toList();
      int i = 0;
      for (Future<HostTensor> each : threads.invokeAll(calls)) {
        assertEquals(i++, each.get().floats()[0]);
      }
    } finally {
      threads.shutdown();
    }
  }

  @Test
  void anInterruptEndsTheCall() throws Exception {
    try (VbnBackend<HostTensor> backend = open("tame")) {
      Thread.currentThread().interrupt();
      assertContains(verdict(backend, BATCH), "was interrupted by its caller");
      assertTrue(Thread.interrupted());
      assertArrayEquals(BATCH.floats(), forward(backend, BATCH).floats());
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"0", "-1", "soon", "NaN"})
  void aTimeLimitThatIsNoneIsRefused(String text) {
    System.setProperty(ProcessProvider.TIMEOUT_PROPERTY, text);
    try {
      assertContains(
          new ProcessProvider("true").probe().description(),
          "vbn.process.timeout is '" + text + "'; expected seconds above 0");
    } finally {
      System.clearProperty(ProcessProvider.TIMEOUT_PROPERTY);
    }
  }

  @Test
  void withoutACommandItIsUnavailable() {
    assertContains(
        new ProcessProvider().probe().description(),
        "vbn.process.command is not set; expected the command that starts a program");
  }
}
