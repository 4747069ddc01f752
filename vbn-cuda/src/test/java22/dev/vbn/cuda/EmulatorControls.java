package dev.vbn.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;

/** The emulator's own functions, called as the driver's are; reached by name from tests at Java 17. */
final class EmulatorControls implements Emulator.Controls {
  private final SymbolLookup symbols;

  EmulatorControls(Path library) {
    symbols = SymbolLookup.libraryLookup(library, Arena.global());
  }

  private MethodHandle procedure(String name, MemoryLayout... arguments) {
    return Linker.nativeLinker()
        .downcallHandle(symbols.find(name).orElseThrow(), FunctionDescriptor.ofVoid(arguments));
  }

  private MethodHandle count(String name, MemoryLayout... arguments) {
    return Linker.nativeLinker()
        .downcallHandle(
            symbols.find(name).orElseThrow(), FunctionDescriptor.of(JAVA_LONG, arguments));
  }

  private static Object call(MethodHandle function, Object... arguments) {
    try {
      return function.invokeWithArguments(arguments);
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  @Override
  public void reset() {
    call(procedure("vbn_emulator_reset"));
  }

  @Override
  public void seed(long seed) {
    call(procedure("vbn_emulator_seed", JAVA_LONG), seed);
  }

  @Override
  public void fail(String function, int nth, int status) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment name = arena.allocateFrom(function);
      call(procedure("vbn_emulator_fail", ADDRESS, JAVA_INT, JAVA_INT), name, nth, status);
    }
  }

  @Override
  public void fault(int number) {
    call(procedure("vbn_emulator_fault", JAVA_INT), number);
  }

  @Override
  public long calls(String function) {
    try (Arena arena = Arena.ofConfined()) {
      return (long) call(count("vbn_emulator_calls", ADDRESS), arena.allocateFrom(function));
    }
  }

  @Override
  public void memory(long bytes) {
    call(procedure("vbn_emulator_memory", JAVA_LONG), bytes);
  }

  @Override
  public void devices(int count) {
    call(procedure("vbn_emulator_devices", JAVA_INT), count);
  }

  @Override
  public void version(int version) {
    call(procedure("vbn_emulator_version", JAVA_INT), version);
  }

  @Override
  public void cooperative(boolean cooperative) {
    call(procedure("vbn_emulator_cooperative", JAVA_INT), cooperative ? 1 : 0);
  }

  @Override
  public void pools(boolean pools) {
    call(procedure("vbn_emulator_pools", JAVA_INT), pools ? 1 : 0);
  }

  @Override
  public void device(int multiprocessors, int sharedBytes) {
    call(procedure("vbn_emulator_device", JAVA_INT, JAVA_INT), multiprocessors, sharedBytes);
  }

  @Override
  public void count() {
    call(procedure("vbn_emulator_count"));
  }

  @Override
  public long moved(long address) {
    return (long) call(count("vbn_emulator_moved", JAVA_LONG), address);
  }

  @Override
  public void outerBlocks(int count) {
    call(procedure("vbn_emulator_outer_blocks", JAVA_INT), count);
  }

  @Override
  public long live() {
    return (long) call(count("vbn_emulator_live"));
  }
}
