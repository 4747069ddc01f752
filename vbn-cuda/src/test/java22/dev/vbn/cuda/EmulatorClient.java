package dev.vbn.cuda;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.nio.file.Path;
import java.util.Arrays;

/** Calls the emulated driver beside the backend; reached by name from tests at Java 17. */
final class EmulatorClient implements Emulator.Client {
  private final SymbolLookup symbols;

  EmulatorClient(Path library) {
    symbols = SymbolLookup.libraryLookup(library, Arena.global());
  }

  @Override
  public int call(String function, long... arguments) {
    MemoryLayout[] layouts = new MemoryLayout[arguments.length];
    Arrays.fill(layouts, JAVA_LONG);
    try {
      return (int) Linker.nativeLinker()
          .downcallHandle(
              symbols.find(function).orElseThrow(), FunctionDescriptor.of(JAVA_INT, layouts))
          .invokeWithArguments(Arrays.stream(arguments).boxed().toList());
    } catch (Throwable e) {
      throw new AssertionError(function, e);
    }
  }

  @Override
  public long get(String function, long... arguments) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment answer = arena.allocate(JAVA_LONG);
      long[] all = Arrays.stream(arguments)
          .map(argument -> argument == ANSWER ? answer.address() : argument)
          .toArray();
      int status = call(function, all);
      if (status != 0) {
        throw new AssertionError(function + " returned " + status);
      }
      return answer.get(JAVA_LONG, 0);
    }
  }

  private static MemorySegment memory(long address, int count) {
    return MemorySegment.ofAddress(address).reinterpret(count * JAVA_FLOAT.byteSize());
  }

  @Override
  public void put(long address, float... values) {
    memory(address, values.length).copyFrom(MemorySegment.ofArray(values));
  }

  @Override
  public float[] floats(long address, int count) {
    return memory(address, count).toArray(JAVA_FLOAT);
  }
}
