// An emulated NVIDIA driver: the functions of libcuda.so.1 that the backend calls, over the emulated device. Stricter
// than a driver: work waits in its stream until somebody waits for it, new memory holds NaN, and what is written beside
// an allocation, or used after it was freed, is an error. Tests direct it by the functions vbn_emulator_* at the end.
#include <sys/mman.h>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>
#include "device.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

typedef int Status;
typedef unsigned long long Address;

enum : Status {
  SUCCESS = 0,
  INVALID_VALUE = 1,
  OUT_OF_MEMORY = 2,
  NOT_INITIALIZED = 3,
  NO_DEVICE = 100,
  INVALID_DEVICE = 101,
  INVALID_IMAGE = 200,
  INVALID_CONTEXT = 201,
  INVALID_PTX = 218,
  UNSUPPORTED_PTX_VERSION = 222,
  INVALID_HANDLE = 400,
  NOT_FOUND = 500,
  NOT_READY = 600,
  ILLEGAL_ADDRESS = 700,
  LAUNCH_FAILED = 719,
  COOPERATIVE_LAUNCH_TOO_LARGE = 720,
  NOT_PERMITTED = 800,
  NOT_SUPPORTED = 801,
  CAPTURE_UNSUPPORTED = 900,
  CAPTURE_INVALIDATED = 901
};

struct Text {
  Status status;
  const char* name;
  const char* words;
};

const Text TEXTS[] = {
    {SUCCESS, "CUDA_SUCCESS", "no error"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {UNSUPPORTED_PTX_VERSION,
     "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
     "the provided PTX was compiled with an unsupported toolchain."},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {COOPERATIVE_LAUNCH_TOO_LARGE, "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE", "too many blocks in cooperative launch"},
    {NOT_PERMITTED, "CUDA_ERROR_NOT_PERMITTED", "operation not permitted"},
    {NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {CAPTURE_UNSUPPORTED,
     "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "operation not permitted when stream is capturing"},
    {CAPTURE_INVALIDATED,
     "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
     "operation failed due to a previous error during capture"},
};

const int MOST_DEVICES = 8;
const size_t SHARED_WITHOUT_ASKING = 48 << 10;
const size_t SHARED_OF_THE_SYSTEM = 1 << 10; // of each block
const unsigned THREADS_OF_A_MULTIPROCESSOR = 1024;
const size_t RED_ZONE = 4096;
const unsigned char POISON = 0xFF;
// NaN of every type, as the poison, but told from it: poison that was copied shows.
const unsigned char FENCE[] = {0xFE, 0xFF};

// ---- What tests have asked for

struct Controls {
  uint64_t seed = 1;
  long long memory = 4LL << 30;
  int devices = 2;
  int version = 13000;
  bool pools = true;
  int multiprocessors = 2;
  size_t sharedMemory = 64 << 10; // of a block, as compute capability 7.5 has it
  bool cooperative = true;
  unsigned outerBlocks = ~0u;
  std::map<std::string, std::pair<int, Status>> failures; // calls to come, the status
};

// One lock for all: the emulator is slow anyway, and races are not what it is to find in itself.
std::recursive_mutex mutex;
Controls controls;
std::map<std::string, long long> calls;
std::string lastWords; // of the last fault of a kernel
bool initialized;

// ---- Objects

struct Stream;

struct Context {
  int device = 0;
  int retained = 0;
  Status sticky = SUCCESS;
  long long used = 0;
  std::unique_ptr<Stream> defaultStream;
};

struct Pool;

struct Allocation {
  size_t size;
  Context* context; // null for pinned memory of the host
  char* base;
  size_t total;
  int device = 0;      // that it was made for
  bool managed = false;
  Pool* pool = nullptr; // that it is from
};

// Work that a stream has captured, and memory that it is given and gives back each time it is done.
struct Graph {
  Context* context;
  std::vector<std::function<Status()>> work;
  std::map<uintptr_t, Allocation> memory;

  ~Graph();
};

struct Stream {
  Context* context;
  std::deque<std::function<Status()>> work;
  std::shared_ptr<Graph> capture; // null unless it captures
  bool invalidated = false;       // the capture, by a call that is not allowed in one
};

struct Executable {
  std::shared_ptr<Graph> graph;
};

struct Event {
  Stream* stream = nullptr;
  bool captured = false; // its last record
  bool complete = false;
  double milliseconds = 0;
};

struct Function {
  const emulated::Kernel* kernel;
  size_t declaredShared;
  size_t mostShared; // in all
};

struct Module {
  std::map<std::string, std::unique_ptr<Function>> functions;
};

// What is freed to a pool stays there, in pieces, until the pool is trimmed.
struct Pool {
  Context* context;
  std::multiset<size_t> pieces;
};

Context contexts[MOST_DEVICES];
thread_local Context* current;
std::set<Stream*> streams;
std::set<Event*> events;
std::set<Module*> modules;
std::set<Function*> functions;
std::set<Pool*> pools;
std::map<Graph*, std::shared_ptr<Graph>> graphs;
std::set<Executable*> executables;
std::map<uintptr_t, Allocation> allocations;
std::map<std::pair<Context*, std::thread::id>, std::unique_ptr<Stream>> threadStreams;
unsigned launches;

Status fault(Status status, const std::string& words) {
  lastWords = words;
  return status;
}

// ---- Memory

const Allocation* allocationIn(
    const std::map<uintptr_t, Allocation>& known, uintptr_t address, size_t bytes) {
  auto next = known.upper_bound(address);
  if (next == known.begin()) {
    return nullptr;
  }
  --next;
  return address + bytes <= next->first + next->second.size ? &next->second : nullptr;
}

const Allocation* allocationAt(uintptr_t address, size_t bytes) {
  return allocationIn(allocations, address, bytes);
}

bool onDevice(Address address, size_t bytes) {
  const Allocation* allocation = allocationAt(address, bytes);
  for (auto entry = streams.begin(); allocation == nullptr && entry != streams.end(); ++entry) {
    if ((*entry)->capture != nullptr) { // its memory is there when the work is done
      allocation = allocationIn((*entry)->capture->memory, address, bytes);
    }
  }
  return allocation != nullptr && allocation->context == current;
}

// Larger memory is not touched before it is used, so that there can be more of it than the machine has.
const size_t HUGE = 1 << 30;

// As new memory is: poisoned, unless it is huge, and fenced.
void makeFresh(const Allocation& allocation) {
  if (allocation.size < HUGE) {
    memset(allocation.base + RED_ZONE, POISON, allocation.size);
  }
  for (size_t i = 0; i < allocation.total; i++) {
    if (i == RED_ZONE) {
      i += allocation.size;
    }
    allocation.base[i] = static_cast<char>(FENCE[i % 2]);
  }
}

// Memory that nobody knows of yet; its base is null where there is none.
Allocation reserve(size_t bytes, Context* context) {
  size_t total = (bytes + 255) / 256 * 256 + 2 * RED_ZONE;
  void* base;
  if (bytes < HUGE) {
    base = aligned_alloc(256, total);
  } else {
    base = mmap(nullptr, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    base = base == MAP_FAILED ? nullptr : base;
  }
  Allocation allocation;
  allocation.size = bytes;
  allocation.context = context;
  allocation.base = static_cast<char*>(base);
  allocation.total = total;
  if (base != nullptr) {
    makeFresh(allocation);
  }
  return allocation;
}

void giveBack(const Allocation& allocation) {
  if (allocation.size < HUGE) {
    free(allocation.base);
  } else {
    munmap(allocation.base, allocation.total);
  }
}

uintptr_t addressOf(const Allocation& allocation) {
  return reinterpret_cast<uintptr_t>(allocation.base + RED_ZONE);
}

void add(const Allocation& allocation) {
  allocations[addressOf(allocation)] = allocation;
  if (allocation.context != nullptr) {
    allocation.context->used += static_cast<long long>(allocation.size);
  }
}

void remove(std::map<uintptr_t, Allocation>::iterator at) {
  const Allocation& allocation = at->second;
  if (pools.count(allocation.pool) != 0) {
    allocation.pool->pieces.insert(allocation.size);
  } else if (allocation.context != nullptr) {
    allocation.context->used -= static_cast<long long>(allocation.size);
  }
  allocations.erase(at);
}

void* allocate(size_t bytes, Context* context, bool managed = false, Pool* pool = nullptr) {
  Allocation allocation = reserve(bytes, context);
  if (allocation.base == nullptr) {
    return nullptr;
  }
  allocation.device = current->device;
  allocation.managed = managed;
  allocation.pool = pool;
  add(allocation);
  return allocation.base + RED_ZONE;
}

void release(std::map<uintptr_t, Allocation>::iterator at) {
  Allocation allocation = at->second;
  remove(at);
  giveBack(allocation);
}

// Its memory is its own, also where the work has not given it back.
Graph::~Graph() {
  for (const auto& entry : memory) {
    auto at = allocations.find(entry.first);
    if (at != allocations.end()) {
      remove(at);
    }
    giveBack(entry.second);
  }
}

// What was written around an allocation; empty if nothing was.
std::string damage(const Allocation& allocation) {
  static const std::string fence = [] {
    std::string bytes(RED_ZONE + 256 + 1, 0);
    for (size_t i = 0; i < bytes.size(); i++) {
      bytes[i] = static_cast<char>(FENCE[i % 2]);
    }
    return bytes;
  }();
  size_t behind = RED_ZONE + allocation.size;
  if (memcmp(allocation.base, fence.data(), RED_ZONE) == 0
      && memcmp(allocation.base + behind, fence.data() + behind % 2, allocation.total - behind) == 0) {
    return "";
  }
  for (size_t i = 0; i < allocation.total; i++) {
    if (i == RED_ZONE) {
      i += allocation.size;
    }
    if (static_cast<unsigned char>(allocation.base[i]) != FENCE[i % 2]) {
      return std::to_string(i < RED_ZONE ? RED_ZONE - i : i - RED_ZONE - allocation.size + 1)
          + (i < RED_ZONE ? " bytes before" : " bytes behind") + " an allocation of "
          + std::to_string(allocation.size) + " bytes were written";
    }
  }
  return "";
}

// What was written around one of the next allocations, which take turns; empty if nothing was.
std::string damage() {
  static uintptr_t next = 0;
  auto at = allocations.lower_bound(next);
  for (size_t looked = 0; looked < std::min<size_t>(allocations.size(), 256); looked++, ++at) {
    if (at == allocations.end()) {
      at = allocations.begin();
    }
    std::string found = damage(at->second);
    if (!found.empty()) {
      return found;
    }
  }
  next = at == allocations.end() ? 0 : at->first;
  return "";
}

// ---- Streams

// CU_STREAM_LEGACY is the default stream by another name; CU_STREAM_PER_THREAD is another one in each thread.
Stream* const LEGACY = reinterpret_cast<Stream*>(1);
Stream* const PER_THREAD = reinterpret_cast<Stream*>(2);

bool isDefault(Stream* stream) { return stream == nullptr || stream == LEGACY; }

Stream* streamOf(Stream* given) {
  if (given == PER_THREAD) {
    std::unique_ptr<Stream>& own = threadStreams[{current, std::this_thread::get_id()}];
    if (own == nullptr) {
      own.reset(new Stream{current, {}, nullptr, false});
    }
    return own.get();
  }
  return isDefault(given) ? current->defaultStream.get() : given;
}

bool known(Stream* stream) { return isDefault(stream) || stream == PER_THREAD || streams.count(stream) != 0; }

Status finish(Stream* stream) {
  while (!stream->work.empty()) {
    std::function<Status()> next = stream->work.front();
    stream->work.pop_front();
    // As on a device, later work of a broken context is not done; memory is still given back.
    Status status = next();
    if (status != SUCCESS && stream->context->sticky == SUCCESS) {
      stream->context->sticky = status;
    }
  }
  return stream->context->sticky;
}

Status finishAll(Context* context) {
  finish(context->defaultStream.get());
  for (Stream* stream : std::vector<Stream*>(streams.begin(), streams.end())) {
    if (stream->context == context) {
      finish(stream);
    }
  }
  for (auto& entry : threadStreams) {
    if (entry.first.first == context) {
      finish(entry.second.get());
    }
  }
  return context->sticky;
}

Status enqueue(Stream* given, std::function<Status()> work) {
  if (!known(given)) {
    return INVALID_HANDLE;
  }
  Stream* stream = streamOf(given);
  if (stream->context != current) {
    return INVALID_HANDLE;
  }
  if (stream->invalidated) {
    return CAPTURE_INVALIDATED;
  }
  if (stream->capture != nullptr) {
    stream->capture->work.push_back(std::move(work));
  } else {
    stream->work.push_back(std::move(work));
  }
  return SUCCESS;
}

// What waits, or allocates at once, ends every capture, in whatever thread it is called.
Status endCaptures() {
  Status status = SUCCESS;
  for (Stream* stream : streams) {
    if (stream->capture != nullptr) {
      stream->invalidated = true;
      status = CAPTURE_UNSUPPORTED;
    }
  }
  return status;
}

double now() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// ---- Entry of every function: counts the call, and fails it where a test asked for that.

Status enter(const char* name) {
  calls[name]++;
  auto failure = controls.failures.find(name);
  if (failure == controls.failures.end() || --failure->second.first > 0) {
    return SUCCESS;
  }
  Status status = failure->second.second;
  controls.failures.erase(failure);
  if (status >= ILLEGAL_ADDRESS && status <= LAUNCH_FAILED && current != nullptr) {
    current->sticky = status;
  }
  return status;
}

Status enterContext(const char* name) {
  Status status = enter(name);
  if (status != SUCCESS) {
    return status;
  }
  if (!initialized) {
    return NOT_INITIALIZED;
  }
  if (current == nullptr || current->retained == 0) {
    return INVALID_CONTEXT;
  }
  return current->sticky;
}

#define LOCK std::lock_guard<std::recursive_mutex> locked(mutex)
#define RETURN_UNLESS_SUCCESS(call) \
  do { \
    Status entered = (call); \
    if (entered != SUCCESS) { \
      return entered; \
    } \
  } while (0)
#define ENTER \
  LOCK; \
  RETURN_UNLESS_SUCCESS(enter(__func__))
#define ENTER_INITIALIZED \
  ENTER; \
  if (!initialized) { \
    return NOT_INITIALIZED; \
  }
#define ENTER_CONTEXT \
  LOCK; \
  RETURN_UNLESS_SUCCESS(enterContext(__func__))
#define ENTER_CONTEXT_OUTSIDE_CAPTURES \
  ENTER_CONTEXT; \
  RETURN_UNLESS_SUCCESS(endCaptures())

void forgetEverything() {
  for (Executable* executable : executables) {
    delete executable;
  }
  executables.clear();
  graphs.clear();
  while (!allocations.empty()) {
    release(allocations.begin());
  }
  for (Stream* stream : streams) {
    delete stream;
  }
  for (Event* event : events) {
    delete event;
  }
  for (Module* module : modules) {
    delete module;
  }
  for (Pool* pool : pools) {
    delete pool;
  }
  streams.clear();
  threadStreams.clear();
  events.clear();
  modules.clear();
  functions.clear();
  pools.clear();
  for (Context& context : contexts) {
    context.retained = 0;
    context.sticky = SUCCESS;
    context.used = 0;
    context.defaultStream.reset();
  }
  initialized = false;
}

// Memory that is waiting in a stream to be freed serves before there is said to be none.
void* allocateOnDevice(size_t bytes) {
  if (current->used + static_cast<long long>(bytes) > controls.memory) {
    finishAll(current);
  }
  return current->used + static_cast<long long>(bytes) > controls.memory ? nullptr : allocate(bytes, current);
}

// From a piece that the pool has kept and that is large enough, what is left of it staying there, or as new memory.
void* allocateFromPool(Pool* pool, size_t bytes) {
  if (pool->pieces.lower_bound(bytes) == pool->pieces.end()
      && current->used + static_cast<long long>(bytes) > controls.memory) {
    finishAll(current);
  }
  auto piece = pool->pieces.lower_bound(bytes);
  if (piece != pool->pieces.end()) {
    size_t rest = *piece - bytes;
    pool->pieces.erase(piece);
    if (rest > 0) {
      pool->pieces.insert(rest);
    }
    current->used -= static_cast<long long>(bytes);
  } else if (current->used + static_cast<long long>(bytes) > controls.memory) {
    return nullptr;
  }
  return allocate(bytes, current, false, pool);
}

void trim(Pool* pool) {
  for (size_t piece : pool->pieces) {
    pool->context->used -= static_cast<long long>(piece);
  }
  pool->pieces.clear();
}

} // namespace

// ---- The driver's functions

EXPORT Status cuInit(unsigned flags) {
  ENTER;
  if (flags != 0) {
    return INVALID_VALUE;
  }
  if (controls.devices == 0) {
    return NO_DEVICE;
  }
  initialized = true;
  return SUCCESS;
}

EXPORT Status cuDriverGetVersion(int* version) {
  ENTER;
  *version = controls.version;
  return SUCCESS;
}

EXPORT Status cuDeviceGetCount(int* count) {
  ENTER_INITIALIZED;
  *count = controls.devices;
  return SUCCESS;
}

EXPORT Status cuDeviceGet(int* device, int ordinal) {
  ENTER_INITIALIZED;
  if (ordinal < 0 || ordinal >= controls.devices) {
    return INVALID_DEVICE;
  }
  *device = ordinal;
  return SUCCESS;
}

EXPORT Status cuDeviceGetName(char* name, int length, int device) {
  ENTER_INITIALIZED;
  snprintf(name, length, "emulated CUDA device %d (CPU)", device);
  return SUCCESS;
}

EXPORT Status cuDeviceGetAttribute(int* value, int attribute, int device) {
  ENTER_INITIALIZED;
  if (device < 0 || device >= controls.devices) {
    return INVALID_DEVICE;
  }
  switch (attribute) {
    case 16: // multiprocessors
      *value = controls.multiprocessors;
      return SUCCESS;
    case 38: // bytes of the L2 cache
      *value = 256;
      return SUCCESS;
    case 95: // cooperative launches
      *value = controls.cooperative;
      return SUCCESS;
    case 97: // shared memory of a block that asks for it
      *value = static_cast<int>(controls.sharedMemory);
      return SUCCESS;
    case 75: // compute capability
      *value = 7;
      return SUCCESS;
    case 76:
      *value = 5;
      return SUCCESS;
    case 115:
      *value = controls.pools ? 1 : 0;
      return SUCCESS;
    default:
      return INVALID_VALUE;
  }
}

EXPORT Status cuDevicePrimaryCtxRetain(Context** context, int device) {
  ENTER_INITIALIZED;
  if (device < 0 || device >= controls.devices) {
    return INVALID_DEVICE;
  }
  Context& primary = contexts[device];
  if (primary.retained++ == 0) {
    primary.device = device;
    primary.sticky = SUCCESS;
    primary.defaultStream.reset(new Stream{&primary, {}, nullptr, false});
  }
  *context = &primary;
  return SUCCESS;
}

EXPORT Status cuDevicePrimaryCtxRelease_v2(int device) {
  ENTER_INITIALIZED;
  if (device < 0 || device >= controls.devices) {
    return INVALID_DEVICE;
  }
  Context& primary = contexts[device];
  if (primary.retained == 0) {
    return INVALID_CONTEXT;
  }
  finishAll(&primary);
  primary.retained--;
  return SUCCESS;
}

EXPORT Status cuCtxGetCurrent(Context** context) {
  ENTER_INITIALIZED;
  *context = current;
  return SUCCESS;
}

EXPORT Status cuCtxSetCurrent(Context* context) {
  ENTER_INITIALIZED;
  bool real = context == nullptr || (context >= contexts && context < contexts + MOST_DEVICES);
  if (!real || (context != nullptr && context->retained == 0)) {
    return INVALID_CONTEXT;
  }
  current = context;
  return SUCCESS;
}

EXPORT Status cuMemGetInfo_v2(size_t* available, size_t* total) {
  ENTER_CONTEXT;
  *total = static_cast<size_t>(controls.memory);
  *available = static_cast<size_t>(std::max(0LL, controls.memory - current->used));
  return SUCCESS;
}

EXPORT Status cuMemAlloc_v2(Address* address, size_t bytes) {
  ENTER_CONTEXT_OUTSIDE_CAPTURES;
  if (bytes == 0) {
    return INVALID_VALUE;
  }
  void* memory = allocateOnDevice(bytes);
  *address = reinterpret_cast<Address>(memory);
  return memory == nullptr ? OUT_OF_MEMORY : SUCCESS;
}

EXPORT Status cuMemAllocManaged(Address* address, size_t bytes, unsigned flags) {
  ENTER_CONTEXT_OUTSIDE_CAPTURES;
  if (bytes == 0 || flags != 1) {
    return INVALID_VALUE;
  }
  void* memory = allocate(bytes, current, true);
  *address = reinterpret_cast<Address>(memory);
  return memory == nullptr ? OUT_OF_MEMORY : SUCCESS;
}

EXPORT Status cuMemFree_v2(Address address) {
  ENTER_CONTEXT_OUTSIDE_CAPTURES;
  auto at = allocations.find(address);
  if (at == allocations.end() || at->second.context != current) {
    return INVALID_VALUE;
  }
  RETURN_UNLESS_SUCCESS(finishAll(current));
  release(at);
  return SUCCESS;
}

EXPORT Status cuMemHostAlloc(void** memory, size_t bytes, unsigned) {
  ENTER_CONTEXT_OUTSIDE_CAPTURES;
  if (bytes == 0) {
    return INVALID_VALUE;
  }
  *memory = allocate(bytes, nullptr);
  return *memory == nullptr ? OUT_OF_MEMORY : SUCCESS;
}

EXPORT Status cuMemFreeHost(void* memory) {
  ENTER_CONTEXT_OUTSIDE_CAPTURES;
  auto at = allocations.find(reinterpret_cast<uintptr_t>(memory));
  if (at == allocations.end() || at->second.context != nullptr) {
    return INVALID_VALUE;
  }
  RETURN_UNLESS_SUCCESS(finishAll(current));
  release(at);
  return SUCCESS;
}

EXPORT Status cuMemPoolCreate(Pool** pool, const int* properties) {
  ENTER_CONTEXT_OUTSIDE_CAPTURES;
  if (!controls.pools) {
    return NOT_SUPPORTED;
  }
  // CUmemPoolProps: allocation type, handle types, location type, location id.
  if (properties[0] != 1 || properties[2] != 1 || properties[3] < 0 || properties[3] >= controls.devices) {
    return INVALID_VALUE;
  }
  *pool = new Pool{&contexts[properties[3]], {}};
  pools.insert(*pool);
  return SUCCESS;
}

EXPORT Status cuMemPoolDestroy(Pool* pool) {
  ENTER_CONTEXT_OUTSIDE_CAPTURES;
  if (pools.erase(pool) == 0) {
    return INVALID_HANDLE;
  }
  trim(pool);
  delete pool;
  return SUCCESS;
}

EXPORT Status cuMemPoolSetAttribute(Pool* pool, int attribute, const void* value) {
  ENTER_CONTEXT;
  if (pools.count(pool) == 0) {
    return INVALID_HANDLE;
  }
  return attribute >= 1 && attribute <= 8 && value != nullptr ? SUCCESS : INVALID_VALUE;
}

EXPORT Status cuMemPoolTrimTo(Pool* pool, size_t keep) {
  ENTER_CONTEXT_OUTSIDE_CAPTURES;
  if (pools.count(pool) == 0) {
    return INVALID_HANDLE;
  }
  if (keep == 0) {
    trim(pool);
  }
  return SUCCESS;
}

EXPORT Status cuMemAllocFromPoolAsync(Address* address, size_t bytes, Pool* pool, Stream* stream) {
  ENTER_CONTEXT;
  if (bytes == 0) {
    return INVALID_VALUE;
  }
  if (pools.count(pool) == 0 || pool->context != current || !known(stream)) {
    return INVALID_HANDLE;
  }
  Graph* graph = streamOf(stream)->capture.get();
  if (graph != nullptr) {
    Allocation own = reserve(bytes, current);
    *address = addressOf(own);
    graph->memory[addressOf(own)] = own;
    return enqueue(stream, [own]() -> Status {
      if (allocations.count(addressOf(own)) != 0) {
        return fault(INVALID_VALUE, "a graph was launched again that had not given back its memory");
      }
      makeFresh(own);
      add(own);
      return SUCCESS;
    });
  }
  void* memory = allocateFromPool(pool, bytes);
  *address = reinterpret_cast<Address>(memory);
  return memory == nullptr ? OUT_OF_MEMORY : SUCCESS;
}

EXPORT Status cuMemFreeAsync(Address address, Stream* stream) {
  ENTER_CONTEXT;
  if (!known(stream)) {
    return INVALID_HANDLE;
  }
  Graph* graph = streamOf(stream)->capture.get();
  if (graph != nullptr) { // which may free what it has allocated, and nothing else
    return graph->memory.count(address) == 0 ? INVALID_VALUE : enqueue(stream, [address]() -> Status {
      auto found = allocations.find(address);
      if (found == allocations.end()) {
        return fault(ILLEGAL_ADDRESS, "memory of a graph was freed twice");
      }
      remove(found);
      return SUCCESS;
    });
  }
  auto at = allocations.find(address);
  if (at == allocations.end() || at->second.context != current) {
    return INVALID_VALUE;
  }
  return enqueue(stream, [address]() -> Status {
    auto found = allocations.find(address);
    if (found == allocations.end()) {
      return fault(ILLEGAL_ADDRESS, "memory was freed twice");
    }
    release(found);
    return SUCCESS;
  });
}

EXPORT Status cuPointerGetAttribute(void* value, int attribute, Address address) {
  ENTER_INITIALIZED;
  const Allocation* allocation = allocationAt(address, 1);
  if (allocation == nullptr) {
    return INVALID_VALUE;
  }
  switch (attribute) {
    case 2: // memory type: of the host or of a device
      *static_cast<int*>(value) = allocation->context == nullptr ? 1 : 2;
      return SUCCESS;
    case 8: // managed
      *static_cast<int*>(value) = allocation->managed ? 1 : 0;
      return SUCCESS;
    case 9: // ordinal of the device, which pinned memory has too
      *static_cast<int*>(value) = allocation->device;
      return SUCCESS;
    default:
      return INVALID_VALUE;
  }
}

EXPORT Status cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t bytes, Stream* stream) {
  ENTER_CONTEXT;
  if (!onDevice(to, bytes)) {
    return INVALID_VALUE;
  }
  // Pinned memory is read when the copy is done, other memory at once.
  std::shared_ptr<std::vector<char>> staged;
  if (allocationAt(reinterpret_cast<uintptr_t>(from), bytes) == nullptr) {
    const char* bytesOfHost = static_cast<const char*>(from);
    staged = std::make_shared<std::vector<char>>(bytesOfHost, bytesOfHost + bytes);
  }
  return enqueue(stream, [=]() -> Status {
    if (allocationAt(to, bytes) == nullptr) {
      return fault(ILLEGAL_ADDRESS, "a copy to memory that has been freed");
    }
    memcpy(reinterpret_cast<void*>(to), staged ? staged->data() : from, bytes);
    return SUCCESS;
  });
}

EXPORT Status cuMemcpyDtoHAsync_v2(void* to, Address from, size_t bytes, Stream* stream) {
  ENTER_CONTEXT;
  if (!onDevice(from, bytes)) {
    return INVALID_VALUE;
  }
  RETURN_UNLESS_SUCCESS(enqueue(stream, [=]() -> Status {
    if (allocationAt(from, bytes) == nullptr) {
      return fault(ILLEGAL_ADDRESS, "a copy of memory that has been freed");
    }
    memcpy(to, reinterpret_cast<const void*>(from), bytes);
    return SUCCESS;
  }));
  // Into memory that is not pinned the copy is done when the call returns.
  bool pinned = allocationAt(reinterpret_cast<uintptr_t>(to), bytes) != nullptr;
  return pinned ? SUCCESS : finish(streamOf(stream));
}

EXPORT Status cuMemcpyDtoDAsync_v2(Address to, Address from, size_t bytes, Stream* stream) {
  ENTER_CONTEXT;
  if (!onDevice(to, bytes) || !onDevice(from, bytes)) {
    return INVALID_VALUE;
  }
  return enqueue(stream, [=]() -> Status {
    if (allocationAt(to, bytes) == nullptr || allocationAt(from, bytes) == nullptr) {
      return fault(ILLEGAL_ADDRESS, "a copy between memory that has been freed");
    }
    memmove(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), bytes);
    return SUCCESS;
  });
}

EXPORT Status cuMemsetD32Async(Address to, unsigned value, size_t count, Stream* stream) {
  ENTER_CONTEXT;
  if (!onDevice(to, 4 * count)) {
    return INVALID_VALUE;
  }
  return enqueue(stream, [=]() -> Status {
    if (allocationAt(to, 4 * count) == nullptr) {
      return fault(ILLEGAL_ADDRESS, "memory that has been freed was set");
    }
    std::fill_n(reinterpret_cast<unsigned*>(to), count, value);
    return SUCCESS;
  });
}

EXPORT Status cuStreamCreate(Stream** stream, unsigned) {
  ENTER_CONTEXT;
  *stream = new Stream{current, {}, nullptr, false};
  streams.insert(*stream);
  return SUCCESS;
}

EXPORT Status cuStreamDestroy_v2(Stream* stream) {
  ENTER_CONTEXT_OUTSIDE_CAPTURES;
  if (streams.count(stream) == 0) {
    return INVALID_HANDLE;
  }
  Status status = finish(stream);
  streams.erase(stream);
  delete stream;
  return status;
}

EXPORT Status cuStreamSynchronize(Stream* stream) {
  ENTER_CONTEXT;
  if (!known(stream)) {
    return INVALID_HANDLE;
  }
  if (streamOf(stream)->capture != nullptr) {
    return endCaptures();
  }
  return finish(streamOf(stream));
}

// Of every thread's calls, as CU_STREAM_CAPTURE_MODE_GLOBAL has it; the other modes forbid less.
EXPORT Status cuStreamBeginCapture_v2(Stream* stream, int mode) {
  ENTER_CONTEXT;
  if (!known(stream) || mode != 0) {
    return INVALID_VALUE;
  }
  if (isDefault(stream) || stream == PER_THREAD) {
    return CAPTURE_UNSUPPORTED; // of the default streams the emulated driver captures none
  }
  if (stream->capture != nullptr) {
    return INVALID_VALUE;
  }
  stream->capture.reset(new Graph{current, {}, {}});
  return SUCCESS;
}

EXPORT Status cuStreamIsCapturing(Stream* stream, int* status) {
  ENTER_CONTEXT;
  if (!known(stream)) {
    return INVALID_HANDLE;
  }
  *status = streamOf(stream)->invalidated ? 2 : streamOf(stream)->capture != nullptr ? 1 : 0;
  return SUCCESS;
}

EXPORT Status cuStreamEndCapture(Stream* stream, Graph** graph) {
  ENTER_CONTEXT;
  *graph = nullptr;
  if (isDefault(stream) || stream == PER_THREAD || !known(stream) || stream->capture == nullptr) {
    return INVALID_VALUE;
  }
  std::shared_ptr<Graph> captured = std::move(stream->capture);
  stream->capture.reset();
  if (stream->invalidated) {
    stream->invalidated = false;
    return CAPTURE_INVALIDATED;
  }
  *graph = captured.get();
  graphs[captured.get()] = captured;
  return SUCCESS;
}

EXPORT Status cuGraphInstantiateWithFlags(Executable** executable, Graph* graph, unsigned long long flags) {
  ENTER_CONTEXT;
  if (graphs.count(graph) == 0 || flags != 0) {
    return INVALID_VALUE;
  }
  *executable = new Executable{graphs[graph]};
  executables.insert(*executable);
  return SUCCESS;
}

EXPORT Status cuGraphLaunch(Executable* executable, Stream* stream) {
  ENTER_CONTEXT;
  if (executables.count(executable) == 0) {
    return INVALID_HANDLE;
  }
  for (const std::function<Status()>& work : executable->graph->work) {
    RETURN_UNLESS_SUCCESS(enqueue(stream, work));
  }
  return SUCCESS;
}

EXPORT Status cuGraphDestroy(Graph* graph) {
  ENTER_CONTEXT;
  return graphs.erase(graph) == 0 ? INVALID_VALUE : SUCCESS;
}

EXPORT Status cuGraphExecDestroy(Executable* executable) {
  ENTER_CONTEXT;
  if (executables.erase(executable) == 0) {
    return INVALID_HANDLE;
  }
  Status status = finishAll(current); // it may be waiting in a stream
  delete executable;
  return status;
}

EXPORT Status cuStreamGetCtx(Stream* stream, Context** context) {
  ENTER_CONTEXT;
  if (!known(stream)) {
    return INVALID_HANDLE;
  }
  *context = streamOf(stream)->context;
  return SUCCESS;
}

EXPORT Status cuEventCreate(Event** event, unsigned) {
  ENTER_CONTEXT;
  *event = new Event;
  events.insert(*event);
  return SUCCESS;
}

EXPORT Status cuEventDestroy_v2(Event* event) {
  ENTER_CONTEXT;
  if (events.count(event) == 0) {
    return INVALID_HANDLE;
  }
  Status status = finishAll(current); // the record may wait in a stream
  events.erase(event);
  delete event;
  return status;
}

EXPORT Status cuEventRecord(Event* event, Stream* stream) {
  ENTER_CONTEXT;
  if (events.count(event) == 0 || !known(stream)) {
    return INVALID_HANDLE;
  }
  event->stream = streamOf(stream);
  event->captured = event->stream->capture != nullptr;
  event->complete = false;
  return enqueue(stream, [event]() -> Status {
    event->milliseconds = now();
    event->complete = true;
    return SUCCESS;
  });
}

EXPORT Status cuEventSynchronize(Event* event) {
  ENTER_CONTEXT;
  if (events.count(event) == 0) {
    return INVALID_HANDLE;
  }
  if (event->captured) {
    return endCaptures();
  }
  return event->stream == nullptr || event->complete ? SUCCESS : finish(event->stream);
}

#ifndef WITHOUT_ELAPSED_TIME
EXPORT Status cuEventElapsedTime(float* milliseconds, Event* start, Event* end) {
  ENTER_CONTEXT;
  if (events.count(start) == 0 || events.count(end) == 0) {
    return INVALID_HANDLE;
  }
  if (!start->complete || !end->complete) {
    return NOT_READY;
  }
  *milliseconds = static_cast<float>(end->milliseconds - start->milliseconds);
  return SUCCESS;
}
#endif

// ---- Modules: PTX is not run, but its header and its entries have to fit the driver and the compiled kernels.

namespace {

// The newest PTX that a driver of a CUDA version takes.
int newestPtx(int version) {
  int major = version / 1000;
  int minor = version % 1000 / 10;
  return major <= 10 ? 63 + minor : major == 11 ? 70 + minor : (major - 4) * 10 + minor;
}

// Bytes of each parameter of an entry: ".param .u64 name," and ".param .align 8 .b8 name[16]" alike start so.
std::vector<unsigned> parametersOf(const std::string& ptx, size_t from, size_t to) {
  std::vector<unsigned> bytes;
  for (size_t at = ptx.find(".param .", from); at != std::string::npos && at < to; at = ptx.find(".param .", at + 1)) {
    bytes.push_back(static_cast<unsigned>(atoi(ptx.c_str() + at + strlen(".param .") + 1)) / 8);
  }
  return bytes;
}

// Bytes of shared memory that an entry declares in its body: ".shared .align 8 .b8 name[16]".
size_t sharedOf(const std::string& ptx, size_t from, size_t to) {
  size_t bytes = 0;
  for (size_t at = ptx.find(".shared .", from); at != std::string::npos && at < to; at = ptx.find(".shared .", at + 1)) {
    bytes += static_cast<size_t>(atoi(ptx.c_str() + ptx.find('[', at) + 1));
  }
  return bytes;
}

// Those of what it uses of the variables that the PTX declares for all entries: ".shared .align 4 .u32 name;". An array without a
// length is what a launch asks for.
size_t sharedByAll(const std::string& ptx, size_t from, size_t to) {
  const std::string declared = "\n.shared .align ";
  size_t bytes = 0;
  for (size_t at = ptx.find(declared); at != std::string::npos; at = ptx.find(declared, at + 1)) {
    int align = 0;
    char name[256];
    if (sscanf(ptx.c_str() + at, "\n.shared .align %d .%*s %255[^;[]", &align, name) != 2) {
      continue;
    }
    size_t used = ptx.find(name, from);
    if (used < to) {
      size_t end = ptx.find(';', at);
      size_t length = ptx.find('[', at);
      bytes += length < end ? static_cast<size_t>(atoi(ptx.c_str() + length + 1)) : static_cast<size_t>(align);
    }
  }
  return bytes;
}

std::string differs(const emulated::Kernel& kernel, const std::vector<unsigned>& bytes) {
  bool same = static_cast<int>(bytes.size()) == kernel.count;
  for (int i = 0; same && i < kernel.count; i++) {
    same = bytes[i] == kernel.parameters[i].bytes;
  }
  return same ? "" : std::string("parameters of ") + kernel.name + " differ between PTX and source";
}

struct Entry {
  const emulated::Kernel* kernel;
  size_t shared;
};

// The entries of a PTX, or what is wrong with one.
std::string readEntries(const std::string& ptx, std::vector<Entry>& entries) {
  const std::string visible = ".visible .entry ";
  for (size_t at = ptx.find(visible); at != std::string::npos; at = ptx.find(visible, at)) {
    at += visible.size();
    size_t open = ptx.find('(', at);
    size_t close = ptx.find(')', at);
    std::string name = ptx.substr(at, open - at);
    const emulated::Kernel* kernel = emulated::find(name);
    if (kernel == nullptr) {
      return "the PTX has an entry " + name + ", the source has none";
    }
    std::string difference = differs(*kernel, parametersOf(ptx, open, close));
    if (!difference.empty()) {
      return difference;
    }
    size_t end = std::min(ptx.find(visible, close), ptx.size());
    entries.push_back({kernel, sharedOf(ptx, close, end) + sharedByAll(ptx, close, end)});
  }
  return "";
}

} // namespace

EXPORT Status cuModuleLoadDataEx(
    Module** module, const void* image, unsigned options, const int* keys, void* const* values) {
  ENTER_CONTEXT_OUTSIDE_CAPTURES;
  char* log = nullptr;
  size_t logBytes = 0;
  for (unsigned i = 0; i < options; i++) {
    if (keys[i] == 5) {
      log = static_cast<char*>(values[i]);
    } else if (keys[i] == 6) {
      logBytes = reinterpret_cast<size_t>(values[i]);
    }
  }
  auto refuse = [&](Status status, const std::string& words) {
    if (log != nullptr && logBytes > 0) {
      snprintf(log, logBytes, "%s", words.c_str());
    }
    return fault(status, words);
  };
  std::string ptx(static_cast<const char*>(image));
  int major = 0;
  int minor = 0;
  int target = 0;
  size_t header = ptx.find(".version ");
  if (header == std::string::npos || sscanf(ptx.c_str() + header, ".version %d.%d", &major, &minor) != 2) {
    return refuse(INVALID_IMAGE, "the image is no PTX: it has no .version");
  }
  if (major * 10 + minor > newestPtx(controls.version)) {
    return refuse(
        UNSUPPORTED_PTX_VERSION,
        "Unsupported .version " + std::to_string(major) + "." + std::to_string(minor));
  }
  header = ptx.find(".target sm_");
  if (header == std::string::npos || sscanf(ptx.c_str() + header, ".target sm_%d", &target) != 1 || target > 75) {
    return refuse(INVALID_PTX, "the PTX is for no device of compute capability 7.5");
  }
  std::unique_ptr<Module> loaded(new Module);
  static std::string known; // to read the kernels' PTX takes a tenth of a second
  static std::vector<Entry> entries;
  if (ptx != known) {
    std::vector<Entry> found;
    std::string wrong = readEntries(ptx, found);
    if (!wrong.empty()) {
      return refuse(INVALID_PTX, wrong);
    }
    known = ptx;
    entries = found;
  }
  for (const Entry& entry : entries) {
    loaded->functions[entry.kernel->name].reset(new Function{entry.kernel, entry.shared, SHARED_WITHOUT_ASKING});
  }
  for (auto& function : loaded->functions) {
    functions.insert(function.second.get());
  }
  modules.insert(loaded.get());
  *module = loaded.release();
  return SUCCESS;
}

EXPORT Status cuModuleUnload(Module* module) {
  ENTER_CONTEXT_OUTSIDE_CAPTURES;
  if (modules.erase(module) == 0) {
    return INVALID_HANDLE;
  }
  Status status = finishAll(current);
  for (auto& function : module->functions) {
    functions.erase(function.second.get());
  }
  delete module;
  return status;
}

EXPORT Status cuModuleGetFunction(Function** function, Module* module, const char* name) {
  ENTER_CONTEXT;
  if (modules.count(module) == 0) {
    return INVALID_HANDLE;
  }
  auto found = module->functions.find(name);
  if (found == module->functions.end()) {
    return NOT_FOUND;
  }
  *function = found->second.get();
  return SUCCESS;
}

EXPORT Status cuFuncSetAttribute(Function* function, int attribute, int value) {
  ENTER_CONTEXT;
  if (functions.count(function) == 0) {
    return INVALID_HANDLE;
  }
  // Of the attributes the most dynamic shared memory alone.
  if (attribute != 8 || value < 0 || function->declaredShared + static_cast<size_t>(value) > controls.sharedMemory) {
    return INVALID_VALUE;
  }
  function->mostShared = function->declaredShared + static_cast<size_t>(value);
  return SUCCESS;
}

namespace {

// Blocks that a multiprocessor has room for at once.
unsigned occupancy(const Function* function, unsigned threads, size_t sharedBytes) {
  size_t byThreads = THREADS_OF_A_MULTIPROCESSOR / threads;
  size_t shared = function->declaredShared + sharedBytes + SHARED_OF_THE_SYSTEM;
  return static_cast<unsigned>(std::min(byThreads, (controls.sharedMemory + SHARED_OF_THE_SYSTEM) / shared));
}

Status launch(
    Function* function,
    unsigned gridX,
    unsigned gridY,
    unsigned gridZ,
    unsigned blockX,
    unsigned blockY,
    unsigned blockZ,
    unsigned sharedBytes,
    Stream* stream,
    void** parameters,
    bool cooperative) {
  if (functions.count(function) == 0) {
    return INVALID_HANDLE;
  }
  if (gridX < 1 || gridX > 0x7fffffffu || gridY < 1 || gridY > 65535 || gridZ != 1 || blockX < 1 || blockX > 1024
      || blockY != 1 || blockZ != 1) {
    return INVALID_VALUE;
  }
  if (function->declaredShared + sharedBytes > function->mostShared) {
    return INVALID_VALUE;
  }
  if (cooperative
      && static_cast<uint64_t>(gridX) * gridY
          > static_cast<uint64_t>(controls.multiprocessors) * occupancy(function, blockX, sharedBytes)) {
    return COOPERATIVE_LAUNCH_TOO_LARGE;
  }
  const emulated::Kernel* kernel = function->kernel;
  auto arguments = std::make_shared<std::vector<uint64_t>>(kernel->count);
  for (int i = 0; i < kernel->count; i++) {
    if (parameters[i] == nullptr) {
      return INVALID_VALUE;
    }
    memcpy(&(*arguments)[i], parameters[i], kernel->parameters[i].bytes);
  }
  Context* context = current;
  return enqueue(stream, [=]() -> Status {
    std::vector<void*> pointers;
    std::vector<const Allocation*> given;
    for (int i = 0; i < kernel->count; i++) {
      uint64_t& value = (*arguments)[i];
      if (kernel->parameters[i].pointer && value != 0) {
        const Allocation* allocation = allocationAt(value, 1);
        if (allocation == nullptr || allocation->context != context) {
          return fault(
              ILLEGAL_ADDRESS,
              std::string(kernel->name) + ": argument " + std::to_string(i) + " is no memory of the device");
        }
        given.push_back(allocation);
#ifdef TRAFFIC
        emulated::watch(addressOf(*allocation), allocation->size);
#endif
      }
      pointers.push_back(&value);
    }
    std::string error =
        emulated::run(*kernel, pointers.data(), {gridX, gridY, gridZ}, blockX, sharedBytes, cooperative,
            controls.outerBlocks, controls.seed++);
    if (!error.empty()) {
      return fault(LAUNCH_FAILED, std::string(kernel->name) + ": " + error);
    }
    for (auto at = given.begin(); at != given.end() && error.empty(); ++at) {
      error = damage(**at);
    }
    // A write far from what a kernel was given is rare, and the rest of the memory takes long to look at.
    if (error.empty() && ++launches % 64 == 0) {
      error = damage();
    }
    return error.empty() ? SUCCESS : fault(ILLEGAL_ADDRESS, std::string(kernel->name) + ": " + error);
  });
}

} // namespace

EXPORT Status cuLaunchKernel(
    Function* function,
    unsigned gridX,
    unsigned gridY,
    unsigned gridZ,
    unsigned blockX,
    unsigned blockY,
    unsigned blockZ,
    unsigned sharedBytes,
    Stream* stream,
    void** parameters,
    void** extra) {
  ENTER_CONTEXT;
  return extra != nullptr
      ? NOT_SUPPORTED
      : launch(function, gridX, gridY, gridZ, blockX, blockY, blockZ, sharedBytes, stream, parameters, false);
}

EXPORT Status cuLaunchCooperativeKernel(
    Function* function,
    unsigned gridX,
    unsigned gridY,
    unsigned gridZ,
    unsigned blockX,
    unsigned blockY,
    unsigned blockZ,
    unsigned sharedBytes,
    Stream* stream,
    void** parameters) {
  ENTER_CONTEXT;
  return controls.cooperative
      ? launch(function, gridX, gridY, gridZ, blockX, blockY, blockZ, sharedBytes, stream, parameters, true)
      : NOT_SUPPORTED;
}

EXPORT Status cuOccupancyMaxActiveBlocksPerMultiprocessor(
    int* blocks, Function* function, int threads, size_t sharedBytes) {
  ENTER_CONTEXT;
  if (functions.count(function) == 0) {
    return INVALID_HANDLE;
  }
  if (threads < 1 || threads > 1024) {
    return INVALID_VALUE;
  }
  *blocks = static_cast<int>(occupancy(function, static_cast<unsigned>(threads), sharedBytes));
  return SUCCESS;
}

EXPORT Status cuGetErrorName(Status status, const char** name) {
  for (const Text& text : TEXTS) {
    if (text.status == status) {
      *name = text.name;
      return SUCCESS;
    }
  }
  *name = nullptr;
  return INVALID_VALUE;
}

// Where a kernel went wrong, its own words are more help than the driver's.
EXPORT Status cuGetErrorString(Status status, const char** words) {
  LOCK;
  if ((status == ILLEGAL_ADDRESS || status == LAUNCH_FAILED || status == INVALID_PTX) && !lastWords.empty()) {
    *words = lastWords.c_str();
    return SUCCESS;
  }
  for (const Text& text : TEXTS) {
    if (text.status == status) {
      *words = text.words;
      return SUCCESS;
    }
  }
  *words = nullptr;
  return INVALID_VALUE;
}

// ---- For tests

// Everything as in a fresh process.
EXPORT void vbn_emulator_reset() {
  LOCK;
  forgetEverything();
  emulated::fault = 0;
  controls = Controls();
  calls.clear();
  lastWords.clear();
}

// Order of the threads of later launches.
EXPORT void vbn_emulator_seed(uint64_t seed) {
  LOCK;
  controls.seed = seed;
}

// The nth call of a function from now returns a status, once. A sticky one stays until all contexts are released.
EXPORT void vbn_emulator_fail(const char* function, int nth, int status) {
  LOCK;
  controls.failures[function] = {nth, status};
}

// Calls of a function, or of all where it is "", since the last reset.
EXPORT long long vbn_emulator_calls(const char* function) {
  LOCK;
  if (*function == 0) {
    long long all = 0;
    for (const auto& each : calls) {
      all += each.second;
    }
    return all;
  }
  auto found = calls.find(function);
  return found == calls.end() ? 0 : found->second;
}

// Turns on one of the faults in the source; 0 none.
EXPORT void vbn_emulator_fault(int number) {
  LOCK;
  emulated::fault = number;
}

// Memory of each device, in bytes.
EXPORT void vbn_emulator_memory(long long bytes) {
  LOCK;
  controls.memory = bytes;
}

EXPORT void vbn_emulator_devices(int count) {
  LOCK;
  controls.devices = std::min(count, MOST_DEVICES);
}

EXPORT void vbn_emulator_version(int version) {
  LOCK;
  controls.version = version;
}

// Whether the devices can run all blocks of a launch at once.
EXPORT void vbn_emulator_cooperative(int available) {
  LOCK;
  controls.cooperative = available != 0;
}

EXPORT void vbn_emulator_pools(int available) {
  LOCK;
  controls.pools = available != 0;
}

// Later launches run only so many blocks at either end of each axis.
EXPORT void vbn_emulator_outer_blocks(int count) {
  LOCK;
  controls.outerBlocks = static_cast<unsigned>(count);
}

// Of later backends.
EXPORT void vbn_emulator_device(int multiprocessors, int sharedMemory) {
  LOCK;
  controls.multiprocessors = multiprocessors;
  controls.sharedMemory = std::min(static_cast<size_t>(sharedMemory), emulated::MOST_SHARED);
}

#ifdef TRAFFIC
// Begins to count what kernels move.
EXPORT void vbn_emulator_count() {
  LOCK;
  emulated::forgetTraffic();
}

// Bytes that kernels have moved to and from the allocation that has an address, or in all where it is 0.
EXPORT long long vbn_emulator_moved(Address address) {
  LOCK;
  return emulated::traffic(address);
}
#endif

// Everything that is allocated, created or retained.
EXPORT long long vbn_emulator_live() {
  LOCK;
  long long live = 0;
  for (Context& context : contexts) {
    if (context.retained > 0) {
      finishAll(&context); // memory may be waiting to be freed
    }
    live += context.retained;
  }
  return live + static_cast<long long>(
                    allocations.size() + streams.size() + events.size() + modules.size() + pools.size()
                    + graphs.size() + executables.size());
}
