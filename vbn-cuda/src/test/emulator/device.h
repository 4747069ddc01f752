// The emulated device: runs a kernel's threads on the CPU, in random order, and says what they do wrong.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace emulated {

struct Index {
  unsigned x, y, z;
};

// Where a thread is in its grid.
struct Coordinates {
  Index thread, block;
};

extern const Coordinates* running;

// Which of the faults that a test has put into the source is on; 0 for none.
extern int fault;

// What a launch has of the shared memory that it asked for.
const size_t MOST_SHARED = 227 << 10; // of a block in all, as no device has more
extern unsigned char* const dynamicShared;

// The number of the block that runs, of all that have run.
extern unsigned block;

// In a build that counts (traffic.cpp): the memory that later accesses are counted in, and the bytes that have been moved to and from
// what has an address, or in all where that is 0.
void watch(uintptr_t begin, size_t size);
void forgetTraffic();
long long traffic(uintptr_t address);

// Waits for all threads of the block.
void barrier(const char* file, int line);

// Makes what the block has written visible to all others.
void fence();

// Adds 1, or begins again behind `most`; what was there. Stops a thread that has not fenced what its block has written.
unsigned countUp(unsigned* at, unsigned most, const char* file, int line);

// Waits until other blocks have counted so far.
void waitFor(const unsigned* at, unsigned least, const char* file, int line);

struct Parameter {
  unsigned bytes;
  bool pointer;
};

// A kernel, as vbn.cu declares it. `run` is one thread of it.
struct Kernel {
  const char* name;
  const Parameter* parameters;
  int count;
  void (*run)(void* const* arguments);
};

void declare(const Kernel& kernel);
const Kernel* find(const std::string& name);

// Runs a grid, or of each axis only so many blocks at either end; the answer is empty, or what went wrong. The seed
// decides the order of blocks and threads. Of a cooperative launch all blocks are there at once, and take turns; of another
// each comes when the last is done.
std::string run(
    const Kernel& kernel, void* const* arguments, Index blocks, unsigned threads, size_t sharedBytes, bool cooperative,
    unsigned outerBlocks, uint64_t seed);

template <auto FUNCTION>
struct Declaration;

template <class... A, void (*FUNCTION)(A...)>
struct Declaration<FUNCTION> {
  static constexpr Parameter parameters[] = {{sizeof(A), std::is_pointer<A>::value}...};

  template <size_t... I>
  static void call(void* const* arguments, std::index_sequence<I...>) {
    FUNCTION(*static_cast<A*>(arguments[I])...);
  }

  static void run(void* const* arguments) { call(arguments, std::index_sequence_for<A...>{}); }

  explicit Declaration(const char* name) { declare(Kernel{name, parameters, sizeof...(A), &run}); }
};

} // namespace emulated
