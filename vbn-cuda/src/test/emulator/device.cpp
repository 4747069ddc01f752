#include "device.h"
#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <vector>

// Every thread is a fiber with a stack of its own, and gives way at barriers alone, and where it waits for other blocks. What one
// order of threads hides, such as a missing barrier, another shows: therefore the order is random, and the kernels are run with
// several seeds.

// Begin and end of all __shared__ variables, given by the linker.
extern char __start_emulated_shared[] __attribute__((weak));
extern char __stop_emulated_shared[] __attribute__((weak));

namespace emulated {

const Coordinates* running;
int fault;
unsigned block;

namespace {
const size_t SHARED_FENCE = 256;
alignas(256) unsigned char sharedMemory[SHARED_FENCE + MOST_SHARED + SHARED_FENCE];
} // namespace

unsigned char* const dynamicShared = sharedMemory + SHARED_FENCE;

namespace {

enum class State { READY, AT_BARRIER, FOR_BLOCKS, DONE };

struct Fiber {
  void* stackPointer; // null before its first turn
  char* top;          // of its stack
  Coordinates at;
  State state;
  const char* file;
  int line;
  bool fenced;             // since the last barrier
  const unsigned* counter; // what it waits for, where it waits for other blocks
  unsigned least;

  bool mayGoOn() const { return state == State::READY || (state == State::FOR_BLOCKS && *counter >= least); }
};

// Any order of threads and blocks will do, and there are many to draw: SplitMix64, which is faster than those of the library.
struct Random {
  using result_type = uint64_t;
  uint64_t state;

  static constexpr uint64_t min() { return 0; }
  static constexpr uint64_t max() { return ~uint64_t{0}; }

  uint64_t operator()() {
    uint64_t z = state += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }
};

// What a launch draws, and the stacks that none of its threads has.
struct Launch {
  Random random;
  std::vector<unsigned> order; // of the threads of a block
  std::vector<char*> spare;
};

struct Block {
  unsigned number; // of all that have run
  std::vector<Fiber> fibers;
  std::vector<unsigned char> shared; // while another block runs: the kernels' own variables and what was asked for
  bool done;
};

const size_t STACK = 64 * 1024;
const size_t CACHE_LINE = 64;

// Stacks that all ended at the same place of a page would share one set of the cache.
const size_t COLORS = 61;

std::vector<Kernel>& kernels() {
  static std::vector<Kernel> declared;
  return declared;
}

Fiber* self;
std::string wrong; // what a thread has been stopped for
void* scheduler;
const Kernel* current;
void* const* currentArguments;

} // namespace

// Saves the registers that a callee must keep and the stack pointer, and continues where `to` was saved.
extern "C" void vbn_emulator_switch(void** save, void* to);
#if defined(__x86_64__)
asm(R"(
.text
.globl vbn_emulator_switch
.hidden vbn_emulator_switch
.type vbn_emulator_switch,@function
vbn_emulator_switch:
  pushq %rbx
  pushq %rbp
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbp
  popq %rbx
  popq %rcx
  jmp *%rcx
)"); // not ret, which the processor takes for a return to whoever called last

namespace {
void* freshStack(char* top, void (*entry)()) {
  void** at = reinterpret_cast<void**>(top);
  *--at = nullptr; // where the entry would return to; keeps the alignment that a call has
  *--at = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; i++) {
    *--at = nullptr;
  }
  return at;
}
} // namespace
#elif defined(__aarch64__)
asm(R"(
.text
.globl vbn_emulator_switch
.hidden vbn_emulator_switch
.type vbn_emulator_switch,@function
vbn_emulator_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x2, sp
  str x2, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
)");

namespace {
void* freshStack(char* top, void (*entry)()) {
  char* at = top - 160;
  memset(at, 0, 160);
  reinterpret_cast<void**>(at)[11] = reinterpret_cast<void*>(entry); // x30
  return at;
}
} // namespace
#else
#error "no switch of fibers for this processor; x86-64 and 64-bit Arm have one"
#endif

namespace {

void wait(State state, const char* file, int line) {
  self->state = state;
  self->file = file;
  self->line = line;
  self->fenced = false; // what others wrote before it is not
  vbn_emulator_switch(&self->stackPointer, scheduler);
}

} // namespace

void barrier(const char* file, int line) { wait(State::AT_BARRIER, file, line); }

void waitFor(const unsigned* at, unsigned least, const char* file, int line) {
  self->counter = at;
  self->least = least;
  wait(State::FOR_BLOCKS, file, line);
}

void fence() { self->fenced = true; }

namespace {

void threadMain() {
  current->run(currentArguments);
  self->state = State::DONE;
  vbn_emulator_switch(&self->stackPointer, scheduler);
  abort(); // nobody continues a thread that is done
}

// The tops of stacks with a page below each that may not be touched.
std::vector<char*> stacks(unsigned count) {
  static char* pool = nullptr;
  static unsigned held = 0;
  if (held < count) {
    if (pool != nullptr) {
      munmap(pool, held * STACK);
    }
    void* memory = mmap(
        nullptr, count * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
      abort();
    }
    pool = static_cast<char*>(memory);
    held = count;
    for (unsigned i = 0; i < count; i++) {
      mprotect(pool + i * STACK, 4096, PROT_NONE);
    }
  }
  std::vector<char*> tops(count);
  for (unsigned i = 0; i < count; i++) {
    tops[i] = pool + (i + 1) * STACK - i % COLORS * CACHE_LINE;
  }
  return tops;
}

std::string place(const Fiber& fiber) {
  const char* slash = strrchr(fiber.file, '/');
  return std::string(slash == nullptr ? fiber.file : slash + 1) + ":" + std::to_string(fiber.line);
}

std::string name(const Coordinates& at) {
  return "thread " + std::to_string(at.thread.x) + " of block (" + std::to_string(at.block.x) + ", "
      + std::to_string(at.block.y) + ")";
}

} // namespace

unsigned countUp(unsigned* at, unsigned most, const char* file, int line) {
  if (!self->fenced) {
    self->file = file;
    self->line = line;
    wrong = name(self->at) + " counts at " + place(*self) + " without a fence before it";
  }
  unsigned before = *at;
  *at = before >= most ? 0 : before + 1;
  return before;
}

namespace {

// What a block that has come no further waits for: a barrier, which may open, or other blocks.
std::string openBarrier(Block& block) {
  const Fiber* waiting = nullptr;
  const Fiber* done = nullptr;
  for (const Fiber& fiber : block.fibers) {
    if (fiber.state == State::FOR_BLOCKS) {
      return "";
    }
    if (fiber.state == State::DONE) {
      done = &fiber;
    } else if (waiting == nullptr) {
      waiting = &fiber;
    } else if (waiting->line != fiber.line || waiting->file != fiber.file) {
      return "divergent barriers: " + name(waiting->at) + " waits at " + place(*waiting) + ", " + name(fiber.at)
          + " at " + place(fiber);
    }
  }
  if (waiting == nullptr) {
    block.done = true;
    return "";
  }
  if (done != nullptr) {
    return name(waiting->at) + " waits at the barrier " + place(*waiting) + ", but " + name(done->at)
        + " has returned";
  }
  for (Fiber& fiber : block.fibers) {
    fiber.state = State::READY;
  }
  return "";
}

// Lets the threads of a block run until all are done, or one waits for other blocks; or, where there are `others`, as far as
// some of them come. Whether they came any further.
bool runBlock(Block& block, bool others, Launch& launch) {
  Random& random = launch.random;
  std::vector<unsigned>& order = launch.order;
  emulated::block = block.number;
  bool moved = false;
  for (;;) {
    std::shuffle(order.begin(), order.end(), random);
    bool further = false;
    size_t turns = others && random() % 16 == 0 ? random() % order.size() : order.size();
    for (unsigned i : order) {
      if (block.fibers[i].mayGoOn()) {
        if (turns-- == 0) {
          return true;
        }
        further = true;
        self = &block.fibers[i];
        self->state = State::READY;
        running = &self->at;
        if (self->stackPointer == nullptr) { // of threads that never wait, each has the stack of the one before
          self->top = launch.spare.back();
          launch.spare.pop_back();
          self->stackPointer = freshStack(self->top, &threadMain);
        }
        vbn_emulator_switch(&scheduler, self->stackPointer);
        if (self->state == State::DONE) {
          launch.spare.push_back(self->top);
        }
      }
    }
    if (!further) {
      return moved;
    }
    moved = true;
    if (wrong.empty()) {
      wrong = openBarrier(block);
    }
    if (!wrong.empty() || block.done) {
      return true;
    }
  }
}

// So many of some indices at either end.
std::vector<uint64_t> outer(uint64_t count, uint64_t most) {
  std::vector<uint64_t> indices;
  for (uint64_t i = 0; i < std::min(count, most); i++) {
    indices.push_back(i);
  }
  for (uint64_t i = std::max(most, count - std::min(count, most)); i < count; i++) {
    indices.push_back(i);
  }
  return indices;
}

} // namespace

void declare(const Kernel& kernel) { kernels().push_back(kernel); }

const Kernel* find(const std::string& name) {
  for (const Kernel& kernel : kernels()) {
    if (name == kernel.name) {
      return &kernel;
    }
  }
  return nullptr;
}

namespace {

size_t ownShared() { return static_cast<size_t>(__stop_emulated_shared - __start_emulated_shared); }

// Puts poisoned pages in place of those from `first` to `end`, of which a write makes a copy.
void mapPoison(char* first, char* end) {
  std::vector<unsigned char> poison(static_cast<size_t>(end - first), 0xFF);
  int file = memfd_create("poison", MFD_CLOEXEC);
  if (file < 0 || write(file, poison.data(), poison.size()) != static_cast<ssize_t>(poison.size())
      || mmap(first, poison.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file, 0) == MAP_FAILED) {
    abort();
  }
  close(file);
}

// All kernels together have hundreds of kilobytes, of which a block touches a few pages. Only their copies are dropped: to
// write to all took a twelfth of the time of the kit.
void poisonOwnShared() {
  const uintptr_t page = 4096;
  char* first = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(__start_emulated_shared) + page - 1) / page * page);
  char* end = reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(__stop_emulated_shared) / page * page);
  if (first >= end) {
    memset(__start_emulated_shared, 0xFF, ownShared());
    return;
  }
  static bool mapped = false;
  if (!mapped) {
    mapPoison(first, end);
    mapped = true;
  }
  madvise(first, static_cast<size_t>(end - first), MADV_DONTNEED);
  memset(__start_emulated_shared, 0xFF, static_cast<size_t>(first - __start_emulated_shared));
  memset(end, 0xFF, static_cast<size_t>(__stop_emulated_shared - end));
}

void poisonShared(size_t bytes) {
  poisonOwnShared();
  memset(sharedMemory, 0xFF, bytes + 2 * SHARED_FENCE);
}

void keepShared(Block& block, size_t bytes) {
  block.shared.resize(ownShared() + bytes + 2 * SHARED_FENCE);
  memcpy(block.shared.data(), __start_emulated_shared, ownShared());
  memcpy(block.shared.data() + ownShared(), sharedMemory, bytes + 2 * SHARED_FENCE);
}

// As it was kept, or poisoned for a block that has not run.
void restoreShared(const Block& block, size_t bytes) {
  if (block.shared.empty()) {
    poisonShared(bytes);
    return;
  }
  memcpy(__start_emulated_shared, block.shared.data(), ownShared());
  memcpy(sharedMemory, block.shared.data() + ownShared(), bytes + 2 * SHARED_FENCE);
}

std::string sharedDamage(size_t bytes) {
  for (size_t i = 0; i < SHARED_FENCE; i++) {
    if (sharedMemory[i] != 0xFF || dynamicShared[bytes + i] != 0xFF) {
      return "shared memory was written beside the " + std::to_string(bytes) + " bytes that were asked for";
    }
  }
  return "";
}

// Lets blocks take turns until all are done.
std::string runTogether(std::vector<Block>& blocks, size_t sharedBytes, Launch& launch) {
  for (size_t left = blocks.size(); left > 0;) {
    std::shuffle(blocks.begin(), blocks.end(), launch.random);
    bool moved = false;
    for (Block& block : blocks) {
      if (block.done) {
        continue;
      }
      restoreShared(block, sharedBytes);
      moved = runBlock(block, blocks.size() > 1, launch) || moved;
      if (!wrong.empty()) {
        return std::exchange(wrong, "");
      }
      if (!block.done) {
        keepShared(block, sharedBytes);
        continue;
      }
      left--;
      std::string damage = sharedDamage(sharedBytes);
      if (!damage.empty()) {
        return damage;
      }
    }
    if (!moved) {
      for (const Block& block : blocks) {
        for (const Fiber& fiber : block.fibers) {
          if (fiber.state == State::FOR_BLOCKS) {
            return name(fiber.at) + " waits at " + place(fiber) + " for " + std::to_string(fiber.least)
                + " blocks, of which " + std::to_string(*fiber.counter) + " have come and no other will";
          }
        }
      }
    }
  }
  return "";
}

} // namespace

std::string run(
    const Kernel& kernel, void* const* arguments, Index blocks, unsigned threads, size_t sharedBytes, bool cooperative,
    unsigned outerBlocks, uint64_t seed) {
  current = &kernel;
  currentArguments = arguments;
  std::vector<uint64_t> blockOrder;
  for (uint64_t y : outer(static_cast<uint64_t>(blocks.y) * blocks.z, outerBlocks)) {
    for (uint64_t x : outer(blocks.x, outerBlocks)) {
      blockOrder.push_back(y * blocks.x + x);
    }
  }
  size_t atOnce = cooperative ? blockOrder.size() : 1;
  Launch launch = {{seed}, std::vector<unsigned>(threads), stacks(static_cast<unsigned>(atOnce) * threads)};
  std::iota(launch.order.begin(), launch.order.end(), 0);
  std::shuffle(blockOrder.begin(), blockOrder.end(), launch.random);
  std::vector<Block> alive(atOnce);
  for (size_t first = 0; first < blockOrder.size(); first += atOnce) {
    for (size_t b = 0; b < atOnce; b++) {
      uint64_t index = blockOrder[first + b];
      Index at = {
          static_cast<unsigned>(index % blocks.x),
          static_cast<unsigned>(index / blocks.x % blocks.y),
          static_cast<unsigned>(index / blocks.x / blocks.y)};
      alive[b].number = ++block;
      alive[b].done = false;
      alive[b].shared.clear();
      alive[b].fibers.resize(threads);
      for (unsigned i = 0; i < threads; i++) {
        alive[b].fibers[i] = Fiber{nullptr, nullptr, {{i, 0, 0}, at}, State::READY, "", 0, false, nullptr, 0};
      }
    }
    std::string error = runTogether(alive, sharedBytes, launch);
    if (!error.empty()) {
      return error;
    }
  }
  return "";
}

} // namespace emulated
