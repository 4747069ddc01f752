// Counts what kernels read and write: in sectors of 32 bytes, as memory moves them, each once a block, whose cache has it then. The
// kernels are compiled with -fsanitize=thread, which announces every access, and these functions take the place of its library.
#include <algorithm>
#include <cstring>
#include <map>
#include <vector>
#include "device.h"

namespace emulated {

namespace {

const uintptr_t SECTOR = 32;

// Of each sector the last block that has read it, and the last that has written it.
struct Range {
  uintptr_t begin;
  uintptr_t end;
  long long bytes;
  std::vector<unsigned> readBy;
  std::vector<unsigned> writtenBy;
};

std::map<uintptr_t, Range> ranges; // by their ends
Range* last;

void count(uintptr_t address, uintptr_t size, bool write) {
  if (last == nullptr || address < last->begin || address >= last->end) {
    auto found = ranges.upper_bound(address);
    if (found == ranges.end() || address < found->second.begin) {
      return; // no memory of the device
    }
    last = &found->second;
  }
  uintptr_t first = last->begin / SECTOR;
  for (uintptr_t sector = address / SECTOR; sector <= (address + size - 1) / SECTOR; sector++) {
    unsigned& by = (write ? last->writtenBy : last->readBy)[sector - first];
    if (by != block) {
      by = block;
      last->bytes += SECTOR;
    }
  }
}

} // namespace

void watch(uintptr_t begin, size_t size) {
  Range& range = ranges[begin + size];
  if (range.begin != begin || range.end != begin + size) {
    size_t sectors = (begin + size - 1) / SECTOR - begin / SECTOR + 1;
    range = Range{begin, begin + size, 0, std::vector<unsigned>(sectors), std::vector<unsigned>(sectors)};
  }
  last = nullptr;
}

void forgetTraffic() {
  ranges.clear();
  last = nullptr;
}

long long traffic(uintptr_t address) {
  long long bytes = 0;
  for (const auto& range : ranges) {
    if (address == 0 || (address >= range.second.begin && address < range.second.end)) {
      bytes += range.second.bytes;
    }
  }
  return bytes;
}

} // namespace emulated

#define ACCESSES(BYTES) \
  void __tsan_read##BYTES(void* at) { emulated::count(reinterpret_cast<uintptr_t>(at), BYTES, false); } \
  void __tsan_write##BYTES(void* at) { emulated::count(reinterpret_cast<uintptr_t>(at), BYTES, true); } \
  void __tsan_unaligned_read##BYTES(void* at) { emulated::count(reinterpret_cast<uintptr_t>(at), BYTES, false); } \
  void __tsan_unaligned_write##BYTES(void* at) { emulated::count(reinterpret_cast<uintptr_t>(at), BYTES, true); }

extern "C" {
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)
void __tsan_read_range(void* at, unsigned long size) { emulated::count(reinterpret_cast<uintptr_t>(at), size, false); }
void __tsan_write_range(void* at, unsigned long size) { emulated::count(reinterpret_cast<uintptr_t>(at), size, true); }
void* __tsan_memcpy(void* to, const void* from, unsigned long size) {
  emulated::count(reinterpret_cast<uintptr_t>(from), size, false);
  emulated::count(reinterpret_cast<uintptr_t>(to), size, true);
  return memcpy(to, from, size);
}
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
}
