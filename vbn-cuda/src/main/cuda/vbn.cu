// Kernels of virtual batch normalization. The formulas stand in dev.vbn.spi.Normalization and VbnBackend.
//
// A batch is a row-major array [batch, before, features, after]. A row is the features*after elements of one
// (example, before); a run is the `after` elements of one feature in a row. A group is what shares one mean and
// variance: `groupRows` rows of one feature; scope BATCH has one group per feature, scope EXAMPLE one per example
// and feature.
//
// Forward is three launches, without the host in between: sums of units (parts of groups), groups mixed with the
// reference into three coefficients, and the output from those. Backward is the same with more sums, and a fourth
// launch that adds up the groups of a feature. Sums are merged in one order, whatever the order of the threads, so
// that every run gives the same bits.
//
// All arithmetic is in 64 bits: the input's conversion is exact, so neither an offset of a million deviations nor
// the largest floats need a case of their own. On a device for computing this hides behind the memory.
//
// One source for nvcc and for a C++ compiler with an emulating header: no CUDA headers, static shared memory, fma
// where it is meant, no fast intrinsics, no floating-point atomics.

typedef unsigned short Bits16;

// ---- Element types: how they are stored, and converted to and from 64 bits, rounding to nearest even.

struct Float32 {
  typedef float Stored;
  static __device__ __forceinline__ double load(Stored v) { return (double) v; }
  static __device__ __forceinline__ Stored store(double v) { return (float) v; }
};

struct Float64 {
  typedef double Stored;
  static __device__ __forceinline__ double load(Stored v) { return v; }
  static __device__ __forceinline__ Stored store(double v) { return v; }
};

static __device__ __forceinline__ unsigned bitsOf(float v) {
  union { float value; unsigned bits; } u;
  u.value = v;
  return u.bits;
}

static __device__ __forceinline__ float floatOf(unsigned bits) {
  union { float value; unsigned bits; } u;
  u.bits = bits;
  return u.value;
}

// The float nearest to v, but with its last bit set where v is not exact: rounding that to fewer bits is then
// the same as rounding v itself.
static __device__ __forceinline__ float roundToOdd(double v) {
  float f = (float) v;
  double back = (double) f;
  if (back == v || v != v || back - back != 0) {
    return f; // exact, NaN, or infinite
  }
  unsigned bits = bitsOf(f);
  if ((bits & 1u) == 0) {
    bool up = (back < v) == (v > 0); // away from 0
    bits = up ? bits + 1 : bits - 1;
    // A float that rounded to 0 is stepped away from it.
    if ((bitsOf(f) & 0x7fffffffu) == 0) {
      bits = (v > 0 ? 0u : 0x80000000u) | 1u;
    }
  }
  return floatOf(bits);
}

struct BFloat16 {
  typedef Bits16 Stored;
  static __device__ __forceinline__ double load(Stored v) { return (double) floatOf((unsigned) v << 16); }
  static __device__ __forceinline__ Stored store(double v) {
    unsigned bits = bitsOf(roundToOdd(v));
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
      return (Stored) (bits >> 16 | 0x40u); // NaN stays NaN
    }
    return (Stored) ((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
  }
};

struct Float16 {
  typedef Bits16 Stored;
  static __device__ __forceinline__ double load(Stored v) {
    unsigned sign = (unsigned) (v & 0x8000u) << 16;
    unsigned magnitude = v & 0x7fffu;
    if (magnitude >= 0x7c00u) {
      return (double) floatOf(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    }
    if (magnitude < 0x400u) {
      double value = (double) magnitude * 5.9604644775390625e-8; // 2^-24
      return sign ? -value : value;
    }
    return (double) floatOf(sign | ((magnitude << 13) + 0x38000000u));
  }
  static __device__ __forceinline__ Stored store(double v) {
    unsigned bits = bitsOf(roundToOdd(v));
    unsigned sign = bits >> 16 & 0x8000u;
    unsigned magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) {
      return (Stored) (sign | 0x7e00u);
    }
    if (magnitude >= 0x47800000u) { // 65536 and more
      return (Stored) (sign | 0x7c00u);
    }
    if (magnitude >= 0x38800000u) { // normal; the carry may reach infinity
      unsigned shifted = magnitude - 0x38000000u;
      return (Stored) (sign | (shifted + 0xfffu + (shifted >> 13 & 1u)) >> 13);
    }
    if (magnitude < 0x33000000u) { // below half of the smallest
      return (Stored) sign;
    }
    unsigned significand = (magnitude & 0x7fffffu) | 0x800000u;
    unsigned shift = 126u - (magnitude >> 23);
    unsigned half = 1u << (shift - 1);
    unsigned rounded = significand >> shift;
    unsigned rest = significand & ((half << 1) - 1);
    rounded += rest > half || (rest == half && (rounded & 1u)) ? 1u : 0u;
    return (Stored) (sign | rounded);
  }
};

// V neighbouring elements, read and written at once.
template <class E, int V>
struct alignas(sizeof(typename E::Stored) * V) Pack {
  typename E::Stored at[V];
};

// ---- Sums of a unit or a group: what statistics and gradients are made of.

struct Sums {
  double count;
  double mean;
  double squares;           // sum((x - mean)^2)
  double upstream;          // sum(dy)
  double upstreamDeviation; // sum(dy*(x - mean))
};

// Of both together (Chan, Golub and LeVeque 1983).
static __device__ __forceinline__ Sums merge(Sums a, Sums b) {
  if (b.count == 0) {
    return a;
  }
  if (a.count == 0) {
    return b;
  }
  Sums r;
  r.count = a.count + b.count;
  double share = b.count / r.count;
  double d = b.mean - a.mean;
  r.mean = fma(share, d, a.mean);
  r.squares = a.squares + b.squares + share * a.count * d * d;
  r.upstream = a.upstream + b.upstream;
  r.upstreamDeviation = a.upstreamDeviation + a.upstream * (a.mean - r.mean)
      + b.upstreamDeviation + b.upstream * (b.mean - r.mean);
  return r;
}

static const int THREADS = 256;

// Sums of units. A unit is `itemsPerUnit` items of one group; an item is at most `segment` neighbouring elements of
// one run, of which a run has `segments`. A team of `team` threads (a power of two) walks the items of a unit, so
// that a warp reads neighbouring elements: along a run where runs are long, across features where they are short.
// Units count features fastest, then units of a group, then groups: unit = (group*unitsPerGroup + u)*features + c.
// Deviations are taken from the unit's first element.
template <class E, int V, bool WITH_UPSTREAM>
static __device__ __forceinline__ void sumUnits(
    const typename E::Stored* x, const typename E::Stored* upstream, double* sums,
    long long groupRows, int firstFeature, int featureCount, int features, int after, int segment, int segments,
    long long itemsPerUnit, int unitsPerGroup, long long units, int team, double (*shared)[THREADS]) {
  typedef Pack<E, V> P;
  int teams = THREADS / team;
  int member = threadIdx.x & (team - 1);
  long long unit = (long long) blockIdx.x * teams + threadIdx.x / team;
  double s = 0, q = 0, a = 0, b = 0, shift = 0;
  double count = 0;
  bool real = unit < units;
  int c = 0;
  long long part = 0;
  if (real) {
    part = unit / featureCount;
    c = firstFeature + (int) (unit - part * featureCount);
    long long group = part / unitsPerGroup;
    long long items = groupRows * segments;
    long long item = (part - group * unitsPerGroup) * itemsPerUnit;
    long long end = item + itemsPerUnit < items ? item + itemsPerUnit : items;
    long long row = item / segments;
    int place = (int) (item - row * segments);
    bool first = true;
    for (; item < end; item++) {
      int from = place * segment;
      int length = after - from < segment ? after - from : segment;
      long long start = ((group * groupRows + row) * features + c) * after + from;
      const P* packs = (const P*) (x + start);
      const P* upstreamPacks = (const P*) (upstream + start);
      if (first) {
        shift = E::load(x[start]);
        first = false;
      }
      for (int i = member; i < length / V; i += team) {
        P pack = packs[i];
        P dy = pack;
        if (WITH_UPSTREAM) {
          dy = upstreamPacks[i];
        }
        for (int k = 0; k < V; k++) {
          double d = E::load(pack.at[k]) - shift;
          s += d;
          q = fma(d, d, q);
          if (WITH_UPSTREAM) {
            double g = E::load(dy.at[k]);
            a += g;
            b = fma(g, d, b);
          }
        }
      }
      count += length;
      if (++place == segments) {
        place = 0;
        row++;
      }
    }
  }
  shared[0][threadIdx.x] = s;
  shared[1][threadIdx.x] = q;
  shared[2][threadIdx.x] = a;
  shared[3][threadIdx.x] = b;
  __syncthreads();
  for (int step = team / 2; step > 0; step /= 2) {
    if (member < step) {
      for (int k = 0; k < (WITH_UPSTREAM ? 4 : 2); k++) {
        shared[k][threadIdx.x] += shared[k][threadIdx.x + step];
      }
    }
    __syncthreads();
  }
  if (real && member == 0) {
    s = shared[0][threadIdx.x];
    q = shared[1][threadIdx.x];
    double squares = q - s * (s / count);
    double* to = sums + (part * features + c) * 5;
    to[0] = count;
    to[1] = shift + s / count;
    to[2] = squares < 0 ? 0 : squares; // NaN stays
    to[3] = WITH_UPSTREAM ? shared[2][threadIdx.x] : 0;
    to[4] = WITH_UPSTREAM ? shared[3][threadIdx.x] - shared[2][threadIdx.x] * (s / count) : 0;
  }
}

// The sums of a group, merged from its units by `team` threads. Every thread of the block has to come here.
static __device__ __forceinline__ Sums mergeUnits(
    const double* sums, long long group, int c, int features, int unitsPerGroup, int team, bool real, Sums* shared) {
  int member = threadIdx.x & (team - 1);
  Sums own;
  own.count = 0;
  own.mean = 0;
  own.squares = 0;
  own.upstream = 0;
  own.upstreamDeviation = 0;
  if (real) {
    for (int u = member; u < unitsPerGroup; u += team) {
      const double* from = sums + ((group * unitsPerGroup + u) * features + c) * 5;
      Sums next;
      next.count = from[0];
      next.mean = from[1];
      next.squares = from[2];
      next.upstream = from[3];
      next.upstreamDeviation = from[4];
      own = merge(own, next);
    }
  }
  shared[threadIdx.x] = own;
  __syncthreads();
  for (int step = team / 2; step > 0; step /= 2) {
    if (member < step) {
      shared[threadIdx.x] = merge(shared[threadIdx.x], shared[threadIdx.x + step]);
    }
    __syncthreads();
  }
  return shared[threadIdx.x - member];
}

// Reference statistics and the sums of a group, mixed.
struct Mixture {
  double difference; // d
  double mean;       // m
  double variance;   // v
  double deviation;  // s
};

static __device__ __forceinline__ Mixture mix(
    Sums live, const double* referenceMean, const double* referenceVariance, int c, double w, double epsilon) {
  Mixture r;
  if (referenceMean == nullptr) {
    r.difference = 0;
    r.mean = live.mean;
    r.variance = live.squares / live.count;
  } else if (w == 0) { // must not see the live statistics: 0 * NaN is NaN
    r.difference = 0;
    r.mean = referenceMean[c];
    r.variance = referenceVariance[c];
  } else {
    r.difference = live.mean - referenceMean[c];
    r.mean = fma(w, r.difference, referenceMean[c]);
    r.variance = (1 - w) * referenceVariance[c] + w * (live.squares / live.count)
        + w * (1 - w) * r.difference * r.difference;
  }
  r.deviation = sqrt(r.variance + epsilon);
  return r;
}

// Statistics and the coefficients {center, factor, offset} of y = factor*(x - center) + offset, per group. Without
// sums (null) there is nothing live: weight 0. Only statistics are asked for where `coefficients` is null.
template <class P>
static __device__ __forceinline__ void mixForward(
    const double* sums, const double* referenceMean, const double* referenceVariance, const P* gamma, const P* beta,
    double* mean, double* variance, double* coefficients, double w, double epsilon, long long groups,
    int firstFeature, int featureCount, int features, int unitsPerGroup, int team, Sums* shared) {
  int member = threadIdx.x & (team - 1);
  long long index = (long long) blockIdx.x * (THREADS / team) + threadIdx.x / team;
  bool real = index < groups * featureCount;
  long long group = real ? index / featureCount : 0;
  int c = firstFeature + (real ? (int) (index - group * featureCount) : 0);
  Sums live = mergeUnits(sums, group, c, features, unitsPerGroup, team, real && sums != nullptr, shared);
  if (real && member == 0) {
    Mixture mixture = mix(live, referenceMean, referenceVariance, c, w, epsilon);
    long long at = group * features + c;
    mean[at] = mixture.mean;
    variance[at] = mixture.variance;
    if (coefficients != nullptr) {
      coefficients[at * 4] = mixture.mean;
      coefficients[at * 4 + 1] = (gamma == nullptr ? 1 : (double) gamma[c]) / mixture.deviation;
      coefficients[at * 4 + 2] = beta == nullptr ? 0 : (double) beta[c];
    }
  }
}

// The coefficients {center, factor, slope, offset} of dx = factor*dy - slope*(x - center) - offset, and what each
// group adds to {dgamma, dbeta, dmr, dvr}. `elements` are those of a group.
template <class P>
static __device__ __forceinline__ void mixBackward(
    const double* sums, const double* referenceMean, const double* referenceVariance, const P* gamma,
    double* coefficients, double* gradients, double w, double epsilon, long long groups, int firstFeature,
    int featureCount, int features, int unitsPerGroup, double elements, int team, Sums* shared) {
  int member = threadIdx.x & (team - 1);
  long long index = (long long) blockIdx.x * (THREADS / team) + threadIdx.x / team;
  bool real = index < groups * featureCount;
  long long group = real ? index / featureCount : 0;
  int c = firstFeature + (real ? (int) (index - group * featureCount) : 0);
  Sums live = mergeUnits(sums, group, c, features, unitsPerGroup, team, real, shared);
  if (real && member == 0) {
    Mixture mixture = mix(live, referenceMean, referenceVariance, c, w, epsilon);
    double s = mixture.deviation;
    double factor = (gamma == nullptr ? 1 : (double) gamma[c]) / s;
    double a = live.upstream;
    double b = (live.upstreamDeviation + a * (live.mean - mixture.mean)) / s;
    double dm = -factor * a;
    double dv = -factor / (2 * s) * b;
    long long at = (group * features + c) * 4;
    coefficients[at] = mixture.mean;
    coefficients[at + 1] = factor;
    coefficients[at + 2] = factor * w / elements * b / s;
    coefficients[at + 3] = factor * w / elements * a;
    gradients[at] = b;
    gradients[at + 1] = a;
    gradients[at + 2] = (1 - w) * dm - 2 * w * (1 - w) * mixture.difference * dv;
    gradients[at + 3] = (1 - w) * dv;
  }
}

// Adds up the groups of each feature, in their order.
template <class P>
static __device__ __forceinline__ void sumGroups(
    const double* gradients, P* dgamma, P* dbeta, double* dMean, double* dVariance, long long groups, int features) {
  int c = blockIdx.x * THREADS + threadIdx.x;
  if (c >= features) {
    return;
  }
  double total[4] = {0, 0, 0, 0};
  for (long long group = 0; group < groups; group++) {
    for (int k = 0; k < 4; k++) {
      total[k] += gradients[(group * features + c) * 4 + k];
    }
  }
  dgamma[c] = (P) total[0];
  dbeta[c] = (P) total[1];
  if (dMean != nullptr) {
    dMean[c] = total[2];
    dVariance[c] = total[3];
  }
}

// What the last launch does with each element.
struct Normalize {
  static const bool INPUT = true;
  static const bool UPSTREAM = false;
  static const int COEFFICIENTS = 3;
  static __device__ __forceinline__ double of(double x, double, const double* k) {
    return fma(k[1], x - k[0], k[2]);
  }
};

struct Differentiate {
  static const bool INPUT = true;
  static const bool UPSTREAM = true;
  static const int COEFFICIENTS = 4;
  static __device__ __forceinline__ double of(double x, double dy, const double* k) {
    return fma(k[1], dy, -fma(k[2], x - k[0], k[3]));
  }
};

// Where the weight is 0 the input is not read: NaN in it stays out of the gradient.
struct Scale {
  static const bool INPUT = false;
  static const bool UPSTREAM = true;
  static const int COEFFICIENTS = 2;
  static __device__ __forceinline__ double of(double, double dy, const double* k) { return k[1] * dy; }
};

// Places of a row belong to threads for good, so that each reads its feature's coefficients once for a whole group, and
// a warp reads and writes neighbours whatever the length of a run. `width` threads (a power of two) cover V places
// each; the other threads of a block take other rows. A block has `rowsPerBlock` rows. V divides `after`.
template <class E, int V, class F>
static __device__ __forceinline__ void eachElement(
    const typename E::Stored* x, const typename E::Stored* upstream, typename E::Stored* output,
    const double* coefficients, long long rows, long long groupRows, long long rowsPerBlock,
    int firstFeature, int featureCount, int features, int after, int width) {
  typedef Pack<E, V> P;
  long long lane = ((long long) blockIdx.x * width + (threadIdx.x & (width - 1))) * V;
  if (lane >= (long long) featureCount * after) {
    return;
  }
  // Once per thread, and in 32 bits wherever the row has no more.
  int c = firstFeature
      + (int) ((long long) featureCount * after <= 0x7fffffff ? (int) lane / after : lane / after);
  int step = THREADS / width;
  long long row = blockIdx.y * rowsPerBlock + threadIdx.x / width;
  long long end = (blockIdx.y + 1) * rowsPerBlock < rows ? (blockIdx.y + 1) * rowsPerBlock : rows;
  long long group = groupRows == rows ? 0 : row / groupRows;
  long long groupEnd = (group + 1) * groupRows;
  double k[4] = {0, 0, 0, 0};
  bool load = true;
  for (; row < end; row += step) {
    while (row >= groupEnd) {
      groupEnd += groupRows;
      group++;
      load = true;
    }
    if (load) {
      const double* from = coefficients + (group * features + c) * 4;
      for (int i = 0; i < F::COEFFICIENTS; i++) {
        k[i] = from[i];
      }
      load = false;
    }
    long long start = row * features * after + (long long) firstFeature * after + lane;
    P pack;
    P dy;
    if (F::INPUT) {
      pack = *(const P*) (x + start);
    }
    if (F::UPSTREAM) {
      dy = *(const P*) (upstream + start);
    }
    P result;
    for (int i = 0; i < V; i++) {
      double value = F::INPUT ? E::load(pack.at[i]) : 0;
      double gradient = F::UPSTREAM ? E::load(dy.at[i]) : 0;
      result.at[i] = E::store(F::of(value, gradient, k));
    }
    *(P*) (output + start) = result;
  }
}

// ---- Entries. `vector` is not 0 where 16 bytes at once are allowed: the runs' length is a multiple of them, and
// every pointer is aligned so. VECTOR is how many elements that is.

#define ENTRIES(NAME, E, VECTOR) \
  extern "C" __global__ void __launch_bounds__(256) vbn_sums_##NAME( \
      const E::Stored* x, const E::Stored* upstream, double* sums, long long groupRows, int firstFeature, \
      int featureCount, int features, int after, int segment, int segments, long long itemsPerUnit, \
      int unitsPerGroup, long long units, int team, int vector) { \
    __shared__ double shared[4][THREADS]; \
    if (upstream == nullptr) { \
      if (vector) { \
        sumUnits<E, VECTOR, false>(x, upstream, sums, groupRows, firstFeature, featureCount, features, after, segment, \
            segments, itemsPerUnit, unitsPerGroup, units, team, shared); \
      } else { \
        sumUnits<E, 1, false>(x, upstream, sums, groupRows, firstFeature, featureCount, features, after, segment, \
            segments, itemsPerUnit, unitsPerGroup, units, team, shared); \
      } \
    } else if (vector) { \
      sumUnits<E, VECTOR, true>(x, upstream, sums, groupRows, firstFeature, featureCount, features, after, segment, \
          segments, itemsPerUnit, unitsPerGroup, units, team, shared); \
    } else { \
      sumUnits<E, 1, true>(x, upstream, sums, groupRows, firstFeature, featureCount, features, after, segment, \
          segments, itemsPerUnit, unitsPerGroup, units, team, shared); \
    } \
  } \
  extern "C" __global__ void __launch_bounds__(256) vbn_normalize_##NAME( \
      const E::Stored* x, E::Stored* output, const double* coefficients, long long rows, long long groupRows, \
      long long rowsPerBlock, int firstFeature, int featureCount, int features, int after, int width, int vector) { \
    if (vector) { \
      eachElement<E, VECTOR, Normalize>(x, nullptr, output, coefficients, rows, groupRows, rowsPerBlock, \
          firstFeature, featureCount, features, after, width); \
    } else { \
      eachElement<E, 1, Normalize>(x, nullptr, output, coefficients, rows, groupRows, rowsPerBlock, \
          firstFeature, featureCount, features, after, width); \
    } \
  } \
  extern "C" __global__ void __launch_bounds__(256) vbn_differentiate_##NAME( \
      const E::Stored* x, const E::Stored* upstream, E::Stored* output, const double* coefficients, long long rows, \
      long long groupRows, long long rowsPerBlock, int firstFeature, int featureCount, int features, int after, \
      int width, int vector) { \
    if (x == nullptr) { \
      if (vector) { \
        eachElement<E, VECTOR, Scale>(x, upstream, output, coefficients, rows, groupRows, rowsPerBlock, \
            firstFeature, featureCount, features, after, width); \
      } else { \
        eachElement<E, 1, Scale>(x, upstream, output, coefficients, rows, groupRows, rowsPerBlock, \
            firstFeature, featureCount, features, after, width); \
      } \
    } else if (vector) { \
      eachElement<E, VECTOR, Differentiate>(x, upstream, output, coefficients, rows, groupRows, rowsPerBlock, \
          firstFeature, featureCount, features, after, width); \
    } else { \
      eachElement<E, 1, Differentiate>(x, upstream, output, coefficients, rows, groupRows, rowsPerBlock, \
          firstFeature, featureCount, features, after, width); \
    } \
  }

ENTRIES(float32, Float32, 4)
ENTRIES(float64, Float64, 2)
ENTRIES(float16, Float16, 8)
ENTRIES(bfloat16, BFloat16, 8)

// Parameters are of 32 bits, or of 64 beside batches of 64.
#define PARAMETER_ENTRIES(NAME, P) \
  extern "C" __global__ void __launch_bounds__(256) vbn_mix_forward_##NAME( \
      const double* sums, const double* referenceMean, const double* referenceVariance, const P* gamma, const P* beta, \
      double* mean, double* variance, double* coefficients, double weight, double epsilon, long long groups, \
      int firstFeature, int featureCount, int features, int unitsPerGroup, int team) { \
    __shared__ Sums shared[THREADS]; \
    mixForward<P>(sums, referenceMean, referenceVariance, gamma, beta, mean, variance, coefficients, weight, epsilon, \
        groups, firstFeature, featureCount, features, unitsPerGroup, team, shared); \
  } \
  extern "C" __global__ void __launch_bounds__(256) vbn_mix_backward_##NAME( \
      const double* sums, const double* referenceMean, const double* referenceVariance, const P* gamma, \
      double* coefficients, double* gradients, double weight, double epsilon, long long groups, int firstFeature, \
      int featureCount, int features, int unitsPerGroup, double elements, int team) { \
    __shared__ Sums shared[THREADS]; \
    mixBackward<P>(sums, referenceMean, referenceVariance, gamma, coefficients, gradients, weight, epsilon, groups, \
        firstFeature, featureCount, features, unitsPerGroup, elements, team, shared); \
  } \
  extern "C" __global__ void __launch_bounds__(256) vbn_sum_groups_##NAME( \
      const double* gradients, P* dgamma, P* dbeta, double* dMean, double* dVariance, long long groups, int features) { \
    sumGroups<P>(gradients, dgamma, dbeta, dMean, dVariance, groups, features); \
  }

PARAMETER_ENTRIES(float32, float)
PARAMETER_ENTRIES(float64, double)

// Coefficients with which vbn_normalize carries the gradients of the reference statistics on to the reference batch:
// dr = 2*dvr/elements * (r - mr) + dmr/elements. `elements` are those of a feature in the whole reference batch.
extern "C" __global__ void __launch_bounds__(256) vbn_reference_coefficients(
    const double* referenceMean, const double* dMean, const double* dVariance, double* coefficients, double elements,
    int features) {
  int c = blockIdx.x * THREADS + threadIdx.x;
  if (c < features) {
    coefficients[c * 4LL] = referenceMean[c];
    coefficients[c * 4LL + 1] = 2 * dVariance[c] / elements;
    coefficients[c * 4LL + 2] = dMean[c] / elements;
  }
}
