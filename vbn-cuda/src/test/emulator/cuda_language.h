// What vbn.cu needs of CUDA C++, for a C++ compiler; included before it. No NVIDIA header is needed.
#pragma once
#include <cmath>
#include <cstddef>
#include "device.h"

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(threads)
// All shared variables of the library lie together, so that the device can poison them before each block.
#define __shared__ static __attribute__((section("emulated_shared"), aligned(16)))
#define DYNAMIC_SHARED(NAME) unsigned char* const NAME = emulated::dynamicShared
#define READ_SHARED_BY_BLOCKS(FROM) (*(FROM))
#define __threadfence() emulated::fence()
#define WAIT_FOR(COUNTER, LEAST) emulated::waitFor(COUNTER, LEAST, __FILE__, __LINE__)
#define atomicInc(AT, MOST) emulated::countUp(AT, MOST, __FILE__, __LINE__)
#define __syncthreads() emulated::barrier(__FILE__, __LINE__)
#define threadIdx (emulated::running->thread)
#define blockIdx (emulated::running->block)
