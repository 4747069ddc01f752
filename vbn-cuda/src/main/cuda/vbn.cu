// Kernels of virtual batch normalization. The formulas stand in dev.vbn.spi.Normalization.
//
// A batch is a row-major array [batch, before, features, after]. A row is the features*after elements of one
// (example, before); a run is the `after` elements of one feature in a row. A group is what shares one mean and
// variance: `groupRows` rows of one feature; scope BATCH has one group per feature, scope EXAMPLE one per example
// and feature.
//
// A small group is done in one launch: a block reads it into shared memory, and adds up, mixes and writes there. For a larger one
// the blocks of one launch may hold a part each, and wait for each other. Otherwise there are two launches: sums of units (parts
// of groups), which the last block of a group mixes with the reference into a line for each feature, and the output from those.
// Another one adds up what several groups give to the gradients of parameters. Mixing may be a launch of its own: where nothing is
// live, or to compare. Sums are merged in one order, whatever the order of threads and blocks, so that every run gives the same
// bits.
//
// Elements of 32 bits and less are worked on in 32 bits, with sums carried into 64 every few elements; what is merged
// and mixed is in 64 bits. Where 32 bits do not do, as for the largest floats, the same is done once more in 64.
//
// Of a masked batch only what counts is read. Its kernels are compiled apart from the others, which know of no mask. They
// read one element at a time: a byte for each position says whether it counts, and an Item what a sum may skip.
//
// One source for nvcc and for a C++ compiler with an emulating header: no CUDA headers, static shared memory, fma
// where it is meant, no fast intrinsics, no floating-point atomics.

typedef unsigned short Bits16;

static __device__ __forceinline__ float multiplyAdd(float a, float b, float c) { return fmaf(a, b, c); }
static __device__ __forceinline__ double multiplyAdd(double a, double b, double c) { return fma(a, b, c); }

// ---- Element types: how they are stored, the arithmetic that is enough for them, and conversions from and to it,
// rounding to nearest even.

struct Float32 {
  typedef float Stored;
  typedef float Value;
  static __device__ __forceinline__ Value load(Stored v) { return v; }
  static __device__ __forceinline__ Stored store(float v) { return v; }
  static __device__ __forceinline__ Stored store(double v) { return (float) v; }
};

struct Float64 {
  typedef double Stored;
  typedef double Value;
  static __device__ __forceinline__ Value load(Stored v) { return v; }
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
  typedef float Value;
  static __device__ __forceinline__ Value load(Stored v) { return floatOf((unsigned) v << 16); }
  static __device__ __forceinline__ Stored store(double v) { return store(roundToOdd(v)); }
  static __device__ __forceinline__ Stored store(float v) {
    unsigned bits = bitsOf(v);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
      return (Stored) (bits >> 16 | 0x40u); // NaN stays NaN
    }
    return (Stored) ((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
  }
};

struct Float16 {
  typedef Bits16 Stored;
  typedef float Value;
#ifdef __CUDA_ARCH__
  // One instruction each, where the arithmetic below takes some 45.
  static __device__ __forceinline__ Value load(Stored v) {
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(v));
    return f;
  }
  static __device__ __forceinline__ Stored store(float v) {
    Stored h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(v));
    return h;
  }
  static __device__ __forceinline__ Stored store(double v) {
    Stored h;
    asm("cvt.rn.f16.f64 %0, %1;" : "=h"(h) : "d"(v));
    return h;
  }
#else
  static __device__ __forceinline__ Value load(Stored v) {
    unsigned sign = (unsigned) (v & 0x8000u) << 16;
    unsigned shifted = (unsigned) (v & 0x7fffu) << 13;
    // Exponents differ by 112; what is subnormal as a float too becomes normal when multiplied.
    unsigned magnitude = shifted < 0xf800000u ? bitsOf(floatOf(shifted) * 0x1p112f) : shifted | 0x7f800000u;
    return floatOf(sign | magnitude);
  }
  static __device__ __forceinline__ Stored store(double v) { return store(roundToOdd(v)); }
  static __device__ __forceinline__ Stored store(float v) {
    unsigned bits = bitsOf(v);
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
    // The last bit of 0.5 and what is added to it is that of the smallest: the addition rounds.
    return (Stored) (sign | (bitsOf(floatOf(magnitude) + 0.5f) - 0x3f000000u));
  }
#endif
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
  double upstreamDeviation; // sum(dy*(x - center)), where the center is given; else around the mean
};

// Of both together (Chan, Golub and LeVeque 1983). `centered` if a center is given.
static __device__ __forceinline__ Sums merge(Sums a, Sums b, bool centered) {
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
  r.upstreamDeviation = a.upstreamDeviation + b.upstreamDeviation;
  if (!centered) {
    r.upstreamDeviation += a.upstream * (a.mean - r.mean) + b.upstream * (b.mean - r.mean);
  }
  return r;
}

static const int THREADS = 256;

#ifndef DYNAMIC_SHARED // the emulator has its own
#define DYNAMIC_SHARED(NAME) extern __shared__ __align__(16) unsigned char NAME[]
#define READ_SHARED_BY_BLOCKS(FROM) __ldcg(FROM)
#define WAIT_FOR(COUNTER, LEAST) \
  while (*(const volatile unsigned*) (COUNTER) < (LEAST)) {}
#endif

// What a thread adds up: x around a shift, which is to be near the mean, for its distance costs the squares digits; what
// the upstream pulls at around a center, which is to be near what it is asked around. HELD elements at a time are added
// up in A, then carried into 64 bits, lest one large square swallow many small ones.
template <class A>
struct ShiftedSums {
  static const int HELD = 8;
  A shift;
  A center;
  int count;
  A held[4];
  double sum;               // sum(x - shift)
  double squares;           // sum((x - shift)^2)
  double upstream;          // sum(dy)
  double upstreamDeviation; // sum(dy*(x - center))
  bool moved;               // some x is not the shift
  bool apart;               // some x is not the center
  bool pulled;              // some dy is not 0

  __device__ __forceinline__ ShiftedSums() {}

  __device__ __forceinline__ ShiftedSums(A around, A center)
      : shift(around), center(center), count(0), held(), sum(0), squares(0), upstream(0), upstreamDeviation(0),
        moved(false), apart(false), pulled(false) {}

  __device__ __forceinline__ void add(A x) {
    A d = x - shift;
    held[0] += d;
    held[1] = multiplyAdd(d, d, held[1]);
    moved |= d != 0;
  }

  __device__ __forceinline__ void addUpstream(A x, A dy) {
    A d = x - center;
    held[2] += dy;
    held[3] = multiplyAdd(dy, d, held[3]);
    apart |= d != 0;
    pulled |= dy != 0;
  }

  __device__ __forceinline__ void carry() {
    sum += held[0];
    squares += held[1];
    upstream += held[2];
    upstreamDeviation += held[3];
    held[0] = held[1] = held[2] = held[3] = 0;
  }

  // Whether the squares are mostly the distance of the shift from the mean: their rounding then shows in the variance.
  __device__ __forceinline__ bool isFar() const { return sum * sum > 0.75 * squares * count; }

  // Whether nothing that is asked for has overflowed, or lost digits to underflow.
  __device__ __forceinline__ bool isInRange(bool live) const {
    return (!live || !moved || inRange(squares)) && fabs(upstream) < 0x1p120
        && (inRange(upstreamDeviation) || (upstreamDeviation == 0 && !(apart && pulled)));
  }

  static __device__ __forceinline__ bool inRange(double v) { return fabs(v) > 0x1p-80 && fabs(v) < 0x1p120; }
};

// What counts of `segment` neighbouring positions: `count` of them, the first at `first` and none from `end` on.
struct Item {
  int first;
  int end;
  int count;
};

// Which elements of a batch count.
struct Mask {
  const unsigned char* counts; // for each position of each row, in their order
  const Item* items;           // for each segment of each row, in their order
};

#define NO_MASK Mask{nullptr, nullptr}

// A thread's share of a unit: of every `turns`th of its items, from `turn` on, the packs of V elements at `lane`, `lane + lanes` and
// so on; of a masked one those that count, counted from its first that does.
template <class E, int V, bool WITH_UPSTREAM, bool MASKED>
struct Share {
  const typename E::Stored* x;
  const typename E::Stored* upstream;
  long long row; // of the first item
  int place;     // of the first item in its row: which segment of the run
  long long items;
  int c, features, after, segment, segments, lane, lanes, turn, turns;
  Mask mask;

  __device__ __forceinline__ long long start(long long row, int place) const {
    return (row * features + c) * after + (long long) place * segment;
  }

  __device__ __forceinline__ int length(int place) const {
    int rest = after - place * segment;
    return rest < segment ? rest : segment;
  }

  // How many elements of the unit count, and where the first is.
  __device__ __forceinline__ double countMasked(long long& first) const {
    const Item* item = mask.items + row * segments + place;
    double count = 0;
    for (long long i = 0; i < items; i++) {
      if (count == 0 && item[i].count > 0) {
        long long at = place + i;
        first = start(row + at / segments, (int) (at % segments)) + item[i].first;
      }
      count += item[i].count;
    }
    return count;
  }

  // Adds up PACKS packs that lie `lanes` apart, of a masked batch those that count, or all where `counts` is null. All are
  // read before any is added: with one at a time a thread would leave the memory waiting.
  template <class A, int PACKS>
  __device__ __forceinline__ void addPacks(
      ShiftedSums<A>& sums, const Pack<E, V>* packs, const Pack<E, V>* upstreamPacks,
      const unsigned char* counts) const {
    Pack<E, V> pack[PACKS];
    Pack<E, V> dy[PACKS];
    for (int p = 0; p < PACKS; p++) {
      if (MASKED && counts != nullptr && counts[p * lanes] == 0) {
        continue;
      }
      pack[p] = packs[p * lanes];
      if (WITH_UPSTREAM) {
        dy[p] = upstreamPacks[p * lanes];
      }
    }
    for (int p = 0; p < PACKS; p++) {
      if (MASKED && counts != nullptr && counts[p * lanes] == 0) {
        continue;
      }
      for (int k = 0; k < V; k++) {
        sums.add(E::load(pack[p].at[k]));
        if (WITH_UPSTREAM) {
          sums.addUpstream(E::load(pack[p].at[k]), E::load(dy[p].at[k]));
        }
      }
      sums.count += V;
      if (sums.count % ShiftedSums<A>::HELD == 0) {
        sums.carry();
      }
    }
  }

  // Adds up the share, or about as many elements of it as are wanted.
  template <class A>
  __device__ __forceinline__ void addTo(ShiftedSums<A>& sums, int wanted) const {
    typedef Pack<E, V> P;
    // As many as leave a thread 64 registers, and so four blocks to an SM.
    const int PACKS = (V == 1 ? 4 : 2) / (WITH_UPSTREAM ? 2 : 1);
    int rowsOfATurn = turns / segments;
    int placesOfATurn = turns - rowsOfATurn * segments;
    long long at = this->place + turn;
    long long row = this->row + at / segments;
    int place = (int) (at % segments);
    for (long long item = turn; item < items && sums.count < wanted; item += turns) {
      const P* packs = (const P*) (x + start(row, place));
      const P* upstreamPacks = (const P*) (upstream + (WITH_UPSTREAM ? start(row, place) : 0));
      int count = MASKED ? 0 : length(place) / V;
      int i = lane;
      const unsigned char* counts = nullptr;
      if (MASKED) {
        Item what = mask.items[row * segments + place];
        i += what.first;
        count = what.end;
        if (what.count < what.end - what.first) {
          counts = mask.counts + row * after + (long long) place * segment;
        }
      }
      if (sizeof(A) == sizeof(typename E::Value)) {
        for (; i + (PACKS - 1) * lanes < count && sums.count < wanted; i += PACKS * lanes) {
          addPacks<A, PACKS>(sums, packs + i, upstreamPacks + i, MASKED && counts != nullptr ? counts + i : nullptr);
        }
        for (; i < count && sums.count < wanted; i += lanes) {
          addPacks<A, 1>(sums, packs + i, upstreamPacks + i, MASKED && counts != nullptr ? counts + i : nullptr);
        }
      } else {
#pragma unroll 1
        for (; i < count; i += lanes) { // seldom: registers matter more
          if (MASKED && counts != nullptr && counts[i] == 0) {
            continue;
          }
#pragma unroll 1
          for (int k = 0; k < V; k++) {
            sums.add(E::load(packs[i].at[k]));
            if (WITH_UPSTREAM) {
              sums.addUpstream(E::load(packs[i].at[k]), E::load(upstreamPacks[i].at[k]));
            }
          }
          sums.count += V;
          sums.carry();
        }
      }
      row += rowsOfATurn;
      place += placesOfATurn;
      if (place >= segments) {
        place -= segments;
        row++;
      }
    }
    sums.carry();
  }
};

static __device__ __forceinline__ bool isInfinite(double v) { return v - v != 0 && v == v; }

// Moves {sum, squares, upstream, upstreamDeviation} of n elements by so much to another shift and another center.
static __device__ __forceinline__ void move(double n, double byShift, double byCenter, double* sums) {
  if (!isInfinite(sums[1])) { // squares that have overflowed stay infinite
    sums[1] = fma(byShift, fma(n, byShift, 2 * sums[0]), sums[1]);
  }
  sums[0] = fma(n, byShift, sums[0]);
  sums[3] = fma(sums[2], byCenter, sums[3]);
}

template <class A>
static __device__ __forceinline__ void moveTo(double shift, double center, const ShiftedSums<A>& sums, double* moved) {
  moved[0] = sums.sum;
  moved[1] = sums.squares;
  moved[2] = sums.upstream;
  moved[3] = sums.upstreamDeviation;
  move(sums.count, (double) sums.shift - shift, (double) sums.center - center, moved);
}

// Adds up the first SUMS rows over each team, in the place of its first member; `at` is the place of this one. Every thread
// of the block has to come here.
template <int SUMS>
static __device__ __forceinline__ void addUpTeam(int team, int member, int at, double (*shared)[THREADS]) {
  for (int step = team / 2; step > 0; step /= 2) {
    if (member < step) {
      for (int k = 0; k < SUMS; k++) {
        shared[k][at] += shared[k][at + step];
      }
    }
    __syncthreads();
  }
}

// Writes the sums of a unit of one feature, which were taken around `shift`, and around a center where one is given.
template <bool WITH_UPSTREAM>
static __device__ __forceinline__ void writeSums(
    double count, double shift, bool centered, int at, double (*shared)[THREADS], double* to) {
  double s = shared[0][at];
  double q = shared[1][at];
  double squares = isInfinite(q) && s - s == 0 ? q : q - s * (s / count);
  to[0] = count;
  to[1] = shift + s / count;
  to[2] = squares < 0 ? 0 : squares; // NaN stays
  to[3] = WITH_UPSTREAM ? shared[2][at] : 0;
  to[4] = WITH_UPSTREAM ? shared[3][at] - (centered ? 0 : shared[2][at] * (s / count)) : 0;
}

// What 64 bits have of a share that 32 could not add up, given what 32 have of the upstream.
//
// The bits of that sum are no matter of x, nor of NaN in x or the reference. The deviation around the mean stays: that around
// the first element, which may lie far off, goes with the sum.
static __device__ __forceinline__ void keepNarrowUpstream(double narrow, bool centered, double count, double* own) {
  if (fabs(narrow) < 0x1p120) {
    if (!centered && count > 0) {
      own[3] -= (own[2] - narrow) * (own[0] / count);
    }
    own[2] = narrow;
  }
}

// A feature of a unit of a group, or, once those are merged, of a group; and whether there is one.
struct Feature {
  long long part;
  int c;
  bool real;
};

// Of the features of a block, of which it has `width`.
static __device__ __forceinline__ Feature featureOf(
    long long block, int ofBlock, long long groups, int features, int unitsPerGroup, int width) {
  Feature r;
  if (unitsPerGroup == 1) {
    long long index = block * width + ofBlock;
    r.part = index / features;
    r.c = (int) (index - r.part * features);
    r.real = r.part < groups;
  } else {
    int blocksAcross = (features + width - 1) / width;
    r.part = block / blocksAcross;
    r.c = (int) (block - r.part * blocksAcross) * width + ofBlock;
    r.real = r.c < features;
  }
  return r;
}

// Sums of units. A unit is `itemsPerUnit` items of one group; an item is at most `segment` neighbouring elements of
// one run, of which a run has `segments`. A block has the units of `width` neighbouring features, a team of threads for each:
// `lanes` of them (powers of two) along an item, the others at other items, so that a warp reads neighbouring elements whatever the
// length of runs. Where a group is one unit, a block has those of neighbouring groups too. Sums of units lie features fastest, then
// units of a group, then groups.
//
// A thread first takes a few elements for their mean, then all of them around that. Should it be far from the mean of
// all, as the first rows of a picture may be, it starts again around the latter. What 32 bits cannot do at all is added
// up in 64: there any element will do for a shift, being within sqrt(n) deviations of the mean.
//
// `centers` are what the upstream is asked around, one for each feature: the reference means, where the mixed mean is
// nearer to them than to the live mean. An element that lies far off, and that nothing pulls at, then costs the others no
// digits. Null where it is the live mean. Where nothing is `live`, mean and squares are not asked for.
//
// Of a unit of which nothing counts nothing is read; its count is 0, and its sums say nothing.
template <class E, int V, bool WITH_UPSTREAM, bool MASKED>
static __device__ __forceinline__ void sumUnits(
    const typename E::Stored* x, const typename E::Stored* upstream, const Mask& mask, const double* centers,
    double* sums, long long groups, long long groupRows, int features, int after, int segment, int segments,
    long long itemsPerUnit, int unitsPerGroup, long long block, int lanes, int width, bool live,
    double (*shared)[THREADS]) {
  typedef typename E::Value A;
  const int ALL = 0x7fffffff;
  const bool NARROW = sizeof(A) == sizeof(float);
  int team = THREADS / width;
  int lane = threadIdx.x & (lanes - 1);
  int turn = threadIdx.x / lanes / width;
  int member = turn * lanes + lane;
  int ofBlock = threadIdx.x / lanes & (width - 1);
  int at = ofBlock * team + member; // of a feature its team next to each other
  Feature of = featureOf(block, ofBlock, groups, features, unitsPerGroup, width);
  long long part = of.part;
  int c = of.c;
  bool real = of.real;
  bool centered = WITH_UPSTREAM && centers != nullptr;
  double own[4] = {0, 0, 0, 0};
  double count = 0;
  double shift = 0; // of the sums, the same in a team
  double near = 0;  // what the thread's own were added up around
  double n = 0;     // elements of the thread
  if (real) {
    long long group = part / unitsPerGroup;
    long long items = groupRows * segments;
    long long item = (part - group * unitsPerGroup) * itemsPerUnit;
    long long end = item + itemsPerUnit < items ? item + itemsPerUnit : items;
    long long row = item / segments;
    long long shortItems = end / segments - row; // the last of each row
    long long missing = (long long) segments * segment - after;
    count = (double) ((end - item) * segment - (missing > 0 ? shortItems * missing : 0));
    Share<E, V, WITH_UPSTREAM, MASKED> share = {
        x, upstream, group * groupRows + row, (int) (item - row * segments), end - item, c, features, after, segment,
        segments, lane, lanes, turn, team / lanes, mask};
    A first = 0;
    if (MASKED) {
      long long start = 0;
      count = share.countMasked(start);
      if (count > 0) {
        first = E::load(x[start]);
      }
    } else {
      first = E::load(x[share.start(share.row, share.place)]);
    }
    A around = first;
    A center = centered ? (A) centers[c] : first;
    bool trusted = false;
#pragma unroll 1 // one copy of the code
    for (int pass = live ? 0 : 1; pass < 3; pass++) {
      ShiftedSums<A> sums(around, centered ? center : around);
      share.addTo(sums, pass == 0 ? ShiftedSums<A>::HELD : ALL);
      own[2] = sums.upstream;
      if (!live || (pass > 0 && !sums.isFar()) || (!NARROW && pass == 2)) {
        trusted = !NARROW || sums.isInRange(live);
        A to = NARROW ? first : around;
        moveTo(to, centered ? centers[c] : (double) to, sums, own);
        near = to;
        n = sums.count;
        break;
      }
      A next = around + (A) sums.sum / sums.count;
      if (sums.count > 0 && next - next == 0) {
        around = next;
      }
    }
    if (NARROW && !trusted) {
      double exact = centered ? centers[c] : (double) first;
      ShiftedSums<double> wide(first, exact);
      share.addTo(wide, ALL);
      double narrowUpstream = own[2];
      moveTo(first, exact, wide, own);
      keepNarrowUpstream(narrowUpstream, centered, wide.count, own);
    }
    shift = first;
  }
  if (!NARROW) {
    // Around what is near the mean of all, not around an element, for that may lie so far off that going there and back
    // costs the mean digits of 64 bits.
    shared[0][at] = fma(n, near - shift, own[0]);
    __syncthreads();
    addUpTeam<1>(team, member, at, shared);
    double mean = shift + shared[0][at - member] / count;
    __syncthreads();
    shift = mean - mean == 0 ? mean : shift;
    move(n, near - shift, centered ? 0 : near - shift, own);
  }
  for (int k = 0; k < 4; k++) {
    shared[k][at] = own[k];
  }
  __syncthreads();
  addUpTeam<WITH_UPSTREAM ? 4 : 2>(team, member, at, shared);
  if (real && member == 0) {
    writeSums<WITH_UPSTREAM>(count, shift, centered, at, shared, sums + (part * features + c) * 5);
  }
}

// The same where `after` is 1 and elements have 32 bits or less: a thread has a column, W neighbouring features. `width` threads (a
// power of two) have neighbouring columns of one row, and the others of a block, a team for each column, have other rows. So a
// thread reads W elements at once, a warp neighbours, and a block leaves one sum of each feature for all its rows.
template <class E, int W, bool WITH_UPSTREAM>
static __device__ __forceinline__ void sumColumns(
    const typename E::Stored* x, const typename E::Stored* upstream, const double* centers, double* sums,
    long long groups, long long groupRows, int features, long long rowsPerUnit, int unitsPerGroup, int width, bool live,
    double (*shared)[THREADS]) {
  typedef typename E::Value A;
  typedef Pack<E, W> P;
  const int ROWS = WITH_UPSTREAM ? 1 : 2; // read before any is added
  int team = THREADS / width;
  int across = features / W;
  int lane = threadIdx.x & (width - 1);
  int member = threadIdx.x / width;
  Feature of = featureOf(blockIdx.x, lane, groups, across, unitsPerGroup, width);
  long long part = of.part;
  bool real = of.real;
  bool centered = WITH_UPSTREAM && centers != nullptr;
  long long group = part / unitsPerGroup;
  long long begin = (part - group * unitsPerGroup) * rowsPerUnit;
  long long rows = groupRows - begin < rowsPerUnit ? groupRows - begin : rowsPerUnit;
  int c = of.c * W;
  double own[W][4] = {};
  A first[W] = {};
  if (real) {
    long long start = (group * groupRows + begin) * features + c;
    const P* packs = (const P*) (x + start);
    const P* upstreamPacks = (const P*) (upstream + (WITH_UPSTREAM ? start : 0));
    A around[W];
    P head = packs[0];
    for (int i = 0; i < W; i++) {
      first[i] = around[i] = E::load(head.at[i]);
    }
    ShiftedSums<A> added[W];
    bool trusted[W];
#pragma unroll 1 // one copy of the code
    for (int pass = live ? 0 : 1; pass < 3; pass++) {
      for (int i = 0; i < W; i++) {
        added[i] = ShiftedSums<A>(around[i], centered ? (A) centers[c + i] : around[i]);
      }
      long long wanted = pass == 0 && rows > (long long) team * ShiftedSums<A>::HELD
          ? (long long) team * ShiftedSums<A>::HELD
          : rows;
      for (long long row = member; row < wanted; row += (long long) ROWS * team) {
        P pack[ROWS];
        P dy[ROWS];
        for (int r = 0; r < ROWS; r++) {
          if (row + r * team < wanted) {
            pack[r] = packs[(row + (long long) r * team) * across];
            if (WITH_UPSTREAM) {
              dy[r] = upstreamPacks[(row + (long long) r * team) * across];
            }
          }
        }
        for (int r = 0; r < ROWS; r++) {
          if (row + r * team < wanted) {
            for (int i = 0; i < W; i++) {
              added[i].add(E::load(pack[r].at[i]));
              if (WITH_UPSTREAM) {
                added[i].addUpstream(E::load(pack[r].at[i]), E::load(dy[r].at[i]));
              }
              if (++added[i].count % ShiftedSums<A>::HELD == 0) {
                added[i].carry();
              }
            }
          }
        }
      }
      bool again = false;
      for (int i = 0; i < W; i++) {
        added[i].carry();
        bool far = live && (pass == 0 || added[i].isFar());
        trusted[i] = !far && added[i].isInRange(live);
        A next = around[i] + (A) added[i].sum / added[i].count;
        if (far && added[i].count > 0 && next - next == 0) {
          around[i] = next;
        }
        again = again || far;
      }
      if (!again) {
        break;
      }
    }
    for (int i = 0; i < W; i++) {
      double exact = centered ? centers[c + i] : (double) first[i];
      moveTo((double) first[i], exact, added[i], own[i]);
      if (!trusted[i]) {
        ShiftedSums<double> wide(first[i], exact);
#pragma unroll 1
        for (long long row = member; row < rows; row += team) { // seldom: registers matter more
          double value = E::load(x[start + row * features + i]);
          wide.add(value);
          if (WITH_UPSTREAM) {
            wide.addUpstream(value, E::load(upstream[start + row * features + i]));
          }
          wide.count++;
          wide.carry();
        }
        double narrowUpstream = added[i].upstream;
        moveTo((double) first[i], exact, wide, own[i]);
        keepNarrowUpstream(narrowUpstream, centered, wide.count, own[i]);
      }
    }
  }
  int at = lane * team + member; // of a column its members next to each other
  for (int i = 0; i < W; i++) {
    for (int k = 0; k < (WITH_UPSTREAM ? 4 : 2); k++) {
      shared[k][at] = own[i][k];
    }
    __syncthreads();
    addUpTeam<WITH_UPSTREAM ? 4 : 2>(team, member, at, shared);
    if (real && member == 0) {
      writeSums<WITH_UPSTREAM>((double) rows, first[i], centered, at, shared, sums + (part * features + c + i) * 5);
    }
  }
}

// The sums of a unit, which another block may have written: from where all blocks see them.
static __device__ __forceinline__ Sums readSums(const double* from) {
  Sums r;
  r.count = READ_SHARED_BY_BLOCKS(from);
  r.mean = READ_SHARED_BY_BLOCKS(from + 1);
  r.squares = READ_SHARED_BY_BLOCKS(from + 2);
  r.upstream = READ_SHARED_BY_BLOCKS(from + 3);
  r.upstreamDeviation = READ_SHARED_BY_BLOCKS(from + 4);
  return r;
}

// The sums of a group, merged from its units by `team` threads. Every thread of the block has to come here. The next unit is read
// before one is merged.
static __device__ __forceinline__ Sums mergeUnits(
    const double* sums, const Feature& of, int features, int unitsPerGroup, int team, bool centered, Sums* shared) {
  int member = threadIdx.x & (team - 1);
  Sums own = {0, floatOf(0x7fc00000u), 0, 0, 0}; // of nothing the mean is NaN
  if (of.real && sums != nullptr && member < unitsPerGroup) {
    const double* from = sums + ((of.part * unitsPerGroup + member) * features + of.c) * 5;
    Sums next = readSums(from);
    for (int u = member; u < unitsPerGroup; u += team) {
      Sums unit = next;
      if (u + team < unitsPerGroup) {
        from += (long long) team * features * 5;
        next = readSums(from);
      }
      own = merge(own, unit, centered);
    }
  }
  shared[threadIdx.x] = own;
  __syncthreads();
  for (int step = team / 2; step > 0; step /= 2) {
    if (member < step) {
      shared[threadIdx.x] = merge(shared[threadIdx.x], shared[threadIdx.x + step], centered);
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
  if (w == 0) { // must not see the live statistics: 0 * NaN is NaN
    r.difference = 0;
    r.mean = referenceMean[c];
    r.variance = referenceVariance[c];
  } else if (w == 1) { // nor those of the reference, which may be null
    r.difference = 0;
    r.mean = live.mean;
    r.variance = live.squares / live.count;
  } else {
    r.difference = live.mean - referenceMean[c];
    r.mean = fma(w, r.difference, referenceMean[c]);
    r.variance = (1 - w) * referenceVariance[c] + w * (live.squares / live.count)
        + w * (1 - w) * r.difference * r.difference;
  }
  r.deviation = sqrt(r.variance + epsilon);
  return r;
}

// A group's line(x) = slope*(x - center) + offset. Forward is y = line(x), backward dx = factor*dy - line(x).
template <class A>
struct alignas(16) Line {
  A center;
  A slope;
  A offset;
  A factor;
};

// In both arithmetics. What rounding cuts off the center is in the narrow line's offset, so that a mean far from 0
// costs no digits; where 32 bits have not the range, its center is NaN.
struct Lines {
  Line<double> wide;
  Line<float> narrow;
};

static __device__ __forceinline__ bool isSmall(double v) { return fabs(v) < 0x1p100; }
static __device__ __forceinline__ bool fits(double v) { return v == 0 || (fabs(v) > 0x1p-100 && isSmall(v)); }

static __device__ __forceinline__ Lines linesOf(double center, double slope, double offset, double factor) {
  Lines r;
  r.wide.center = center;
  r.wide.slope = slope;
  r.wide.offset = offset;
  r.wide.factor = factor;
  r.narrow.center = (float) center;
  r.narrow.slope = (float) slope;
  r.narrow.offset = (float) fma(-slope, center - (double) r.narrow.center, offset);
  r.narrow.factor = (float) factor;
  bool fit = isSmall(center) && fits(slope) && isSmall(r.narrow.offset) && fits(factor);
  if (!fit) {
    r.narrow.center = floatOf(0x7fc00000u);
  }
  return r;
}

// The gradients of parameters and reference of feature c; the latter are null where they are not asked for.
template <class P>
static __device__ __forceinline__ void writeGradients(
    const double* total, int c, P* dgamma, P* dbeta, double* dMean, double* dVariance) {
  dgamma[c] = (P) total[0];
  dbeta[c] = (P) total[1];
  if (dMean != nullptr) {
    dMean[c] = total[2];
    dVariance[c] = total[3];
  }
}

// What mixing needs of a feature, and where results go: those of a group, and null where they are not asked for. Without sums
// there is nothing live: weight 0.
template <class P>
struct ForwardMix {
  const double* referenceMean;
  const double* referenceVariance;
  const P* gamma;
  const P* beta;
  double* mean;
  double* variance;
  double weight;
  double epsilon;

  __device__ __forceinline__ bool isCentered() const { return false; }

  // The line of feature c; `at` is the place of its group.
  __device__ __forceinline__ Lines line(const Sums& live, int c, long long at) const {
    Mixture mixture = mix(live, referenceMean, referenceVariance, c, weight, epsilon);
    if (mean != nullptr) {
      mean[at] = mixture.mean;
      variance[at] = mixture.variance;
    }
    double slope = (gamma == nullptr ? 1 : (double) gamma[c]) / mixture.deviation;
    return linesOf(mixture.mean, slope, beta == nullptr ? 0 : (double) beta[c], 1);
  }
};

static const int GRADIENTS = 4; // of a group: {dgamma, dbeta, dmr, dvr}

// What a group adds to the gradients goes to `gradients`, or, where that is null and the group the only one, to where they go.
template <class P>
struct BackwardMix {
  const double* centers; // of the sums
  const double* referenceMean;
  const double* referenceVariance;
  const P* gamma;
  double* gradients;
  P* dgamma;
  P* dbeta;
  double* dMean;
  double* dVariance;
  double weight;
  double epsilon;

  __device__ __forceinline__ bool isCentered() const { return centers != nullptr; }

  // The line of feature c, and what its group adds to the gradients: nothing where nothing of it counts.
  __device__ __forceinline__ Lines line(const Sums& live, int c, long long at) const {
    double w = weight;
    Mixture mixture = mix(live, referenceMean, referenceVariance, c, w, epsilon);
    double s = mixture.deviation;
    double factor = (gamma == nullptr ? 1 : (double) gamma[c]) / s;
    double a = live.upstream;
    double center = centers == nullptr ? live.mean : centers[c];
    double b = (live.upstreamDeviation + a * (center - mixture.mean)) / s;
    double dm = -factor * a;
    double dv = -factor / (2 * s) * b;
    bool any = live.count > 0;
    double own[GRADIENTS] = {
        any ? b : 0, any ? a : 0, any ? (1 - w) * dm - 2 * w * (1 - w) * mixture.difference * dv : 0,
        any ? (1 - w) * dv : 0};
    if (gradients == nullptr) {
      writeGradients<P>(own, c, dgamma, dbeta, dMean, dVariance);
    } else {
      for (int k = 0; k < GRADIENTS; k++) {
        gradients[at * GRADIENTS + k] = own[k];
      }
    }
    // Without a weight x has no part in its gradient, nor NaN in it: 0 * NaN is NaN.
    double share = factor * w / live.count;
    return linesOf(mixture.mean, w == 0 ? 0 : share * b / s, w == 0 ? 0 : share * a, factor);
  }
};

// Mixes a group of a feature with a team of threads. `lines` is null where only statistics are asked for, `sums` where nothing is
// live. Every thread of the block has to come here.
template <class MIX>
static __device__ __forceinline__ void mixGroup(
    const MIX& how, const double* sums, Lines* lines, const Feature& of, int features, int unitsPerGroup, int team,
    Sums* shared) {
  Sums live = mergeUnits(sums, of, features, unitsPerGroup, team, how.isCentered(), shared);
  if (of.real && (threadIdx.x & (team - 1)) == 0) {
    long long at = of.part * features + of.c;
    Lines line = how.line(live, of.c, at);
    if (lines != nullptr) {
      lines[at] = line;
    }
  }
}

// A launch that does nothing else.
template <class MIX>
static __device__ __forceinline__ void mixGroups(
    const MIX& how, const double* sums, Lines* lines, long long groups, int features, int unitsPerGroup, int team,
    Sums* shared) {
  long long index = (long long) blockIdx.x * (THREADS / team) + threadIdx.x / team;
  Feature of = {index / features, (int) (index % features), index < groups * features};
  mixGroup(how, sums, lines, of, features, unitsPerGroup, team, shared);
}

// Counts this block, and makes what it wrote before the last barrier visible to the others. Returns how many blocks had counted
// before. The counter goes from `most` back to 0. For one thread of the block.
static __device__ __forceinline__ unsigned countBlock(unsigned* counter, unsigned most) {
  __threadfence();
  unsigned before = atomicInc(counter, most);
  __threadfence();
  return before;
}

// Whether this is the last of `blocks` blocks that count themselves here, which then sees what all of them have written. Every
// thread of the block has to come here.
static __device__ __forceinline__ bool isLast(unsigned* counter, int blocks, unsigned most) {
  __shared__ int last;
  __syncthreads();
  if (threadIdx.x == 0) {
    last = countBlock(counter, most) == (unsigned) blocks - 1;
  }
  __syncthreads();
  return last != 0;
}

// Has the last block to come mix what blocks have added up, in the order of the units, `width` features each; not at all where
// `team` is 0, for another launch does.
template <class MIX>
static __device__ __forceinline__ void mixIfLast(
    const MIX& how, const double* sums, unsigned* counters, Lines* lines, long long groups, int features,
    int unitsPerGroup, int width, int team, double (*shared)[THREADS]) {
  if (team == 0) {
    return;
  }
  int blocksAcross = (features + width - 1) / width;
  long long group = blockIdx.x / blocksAcross / unitsPerGroup; // where it has several units
  bool last = true;
  if (unitsPerGroup > 1) {
    last = isLast(counters + (group * blocksAcross + blockIdx.x % blocksAcross), unitsPerGroup, unitsPerGroup - 1);
  } else {
    __syncthreads();
  }
  if (last) {
    int ofBlock = threadIdx.x / team;
    Feature of = featureOf(blockIdx.x, ofBlock, groups, features, unitsPerGroup, width);
    of.part /= unitsPerGroup;
    of.real = of.real && ofBlock < width;
    mixGroup(how, sums, lines, of, features, unitsPerGroup, team, (Sums*) shared);
  }
}

// Adds up the groups of each feature, in one order: a team of `team` threads (a power of two) for each.
template <class P>
static __device__ __forceinline__ void sumGroups(
    const double* gradients, P* dgamma, P* dbeta, double* dMean, double* dVariance, long long groups, int features,
    int team, double (*shared)[THREADS]) {
  int width = THREADS / team;
  int ofBlock = threadIdx.x & (width - 1);
  int member = threadIdx.x / width;
  int at = ofBlock * team + member;
  int c = blockIdx.x * width + ofBlock;
  double total[GRADIENTS] = {0, 0, 0, 0};
  for (long long group = member; c < features && group < groups; group += team) {
    for (int k = 0; k < GRADIENTS; k++) {
      total[k] += gradients[(group * features + c) * GRADIENTS + k];
    }
  }
  for (int k = 0; k < GRADIENTS; k++) {
    shared[k][at] = total[k];
  }
  __syncthreads();
  addUpTeam<GRADIENTS>(team, member, at, shared);
  if (c < features && member == 0) {
    for (int k = 0; k < GRADIENTS; k++) {
      total[k] = shared[k][at];
    }
    writeGradients<P>(total, c, dgamma, dbeta, dMean, dVariance);
  }
}

// What the last launch does with each element.
struct Normalize {
  static const bool INPUT = true;
  static const bool UPSTREAM = false;
  template <class A>
  static __device__ __forceinline__ A of(A x, A, const Line<A>& k) {
    return multiplyAdd(k.slope, x - k.center, k.offset);
  }
};

struct Differentiate {
  static const bool INPUT = true;
  static const bool UPSTREAM = true;
  template <class A>
  static __device__ __forceinline__ A of(A x, A dy, const Line<A>& k) {
    return multiplyAdd(k.factor, dy, -multiplyAdd(k.slope, x - k.center, k.offset));
  }
};

// Where the weight is 0 the input is not read: NaN in it stays out of the gradient.
struct Scale {
  static const bool INPUT = false;
  static const bool UPSTREAM = true;
  template <class A>
  static __device__ __forceinline__ A of(A, A dy, const Line<A>& k) {
    return k.factor * dy;
  }
};

// Both in one, where code is dearer than a comparison: of a weight of 0 slope and offset are 0.
struct DifferentiateOrScale {
  static const bool INPUT = true;
  static const bool UPSTREAM = true;
  template <class A>
  static __device__ __forceinline__ A of(A x, A dy, const Line<A>& k) {
    return k.slope == 0 && k.offset == 0 ? Scale::of(x, dy, k) : Differentiate::of(x, dy, k);
  }
};

template <class F, class E, class A>
static __device__ __forceinline__ typename E::Stored each(
    typename E::Stored x, typename E::Stored dy, const Line<A>& line) {
  A value = F::INPUT ? (A) E::load(x) : 0;
  A gradient = F::UPSTREAM ? (A) E::load(dy) : 0;
  return E::store(F::of(value, gradient, line));
}

static __device__ __forceinline__ void choose(const Lines& from, Line<float>& line) { line = from.narrow; }
static __device__ __forceinline__ void choose(const Lines& from, Line<double>& line) { line = from.wide; }

// Writes what nothing of these launches reads again: the cache is to keep the input.
template <class P>
static __device__ __forceinline__ void writeOnce(P* to, const P& pack) {
#ifdef __CUDA_ARCH__
  if (sizeof(P) == sizeof(uint4)) {
    union { P pack; uint4 bits; } u = {pack};
    __stcs((uint4*) to, u.bits);
    return;
  }
#endif
  *to = pack;
}

// V neighbours on one line, or on a line each where LINES is V. Read `apart` elements from each other: 1 unless they are in a tile.
template <class E, int V, class F, int LINES>
struct Place {
  typedef Pack<E, V> P;
  typedef typename E::Value A;
  Line<A> line[LINES];
  bool narrow; // whether 32 bits are enough: NaN in a center says that for one they are not
  const Lines* from;

  __device__ __forceinline__ void take(const Lines* lines) {
    from = lines;
    narrow = true;
    for (int i = 0; i < LINES; i++) {
      choose(from[i], line[i]);
      narrow = narrow && line[i].center == line[i].center;
    }
  }

  __device__ __forceinline__ void write(
      const typename E::Stored* x, const typename E::Stored* upstream, int apart, typename E::Stored* output) const {
    if (sizeof(A) == sizeof(double) || narrow) {
      P pack = {};
      P dy = {};
      if (apart == 1) {
        if (F::INPUT) {
          pack = *(const P*) x;
        }
        if (F::UPSTREAM) {
          dy = *(const P*) upstream;
        }
      } else {
        for (int i = 0; i < V; i++) {
          if (F::INPUT) {
            pack.at[i] = x[i * apart];
          }
          if (F::UPSTREAM) {
            dy.at[i] = upstream[i * apart];
          }
        }
      }
      P result;
      for (int i = 0; i < V; i++) {
        result.at[i] = each<F, E>(pack.at[i], dy.at[i], line[LINES == 1 ? 0 : i]);
      }
      writeOnce((P*) output, result);
    } else {
      typename E::Stored none = 0;
#pragma unroll 1
      for (int i = 0; i < V; i++) { // seldom: registers matter more
        const Lines& of = from[LINES == 1 ? 0 : i];
        typename E::Stored value = F::INPUT ? x[i * apart] : none;
        typename E::Stored gradient = F::UPSTREAM ? upstream[i * apart] : none;
        bool fit = LINES > 1 && of.narrow.center == of.narrow.center;
        output[i] = fit ? each<F, E>(value, gradient, of.narrow) : each<F, E>(value, gradient, of.wide);
      }
    }
  }
};

// Places of a row belong to threads for good, so that each reads its feature's line once for a whole group, and
// a warp reads and writes neighbours whatever the length of a run. `width` threads (a power of two) cover V places
// each; the other threads of a block take other rows. A block has `rowsPerBlock` rows. V divides `after`; or `after` is 1, V
// divides the features, and there are LINES = V of them in a place. Where a byte of `counts` is 0, so is the output; it is null
// where everything counts. The last rows come first: they are what the sums read last, and may be in the cache yet.
template <class E, int V, class F, bool MASKED, int LINES>
static __device__ __forceinline__ void eachElement(
    const typename E::Stored* x, const typename E::Stored* upstream, const unsigned char* counts,
    typename E::Stored* output, const Lines* lines, long long rows, long long groupRows, long long rowsPerBlock,
    int features, int after, int width) {
  typedef typename E::Value A;
  long long lane = ((long long) blockIdx.x * width + (threadIdx.x & (width - 1))) * V;
  if (lane >= (long long) features * after) {
    return;
  }
  // Once per thread, and in 32 bits wherever the row has no more.
  int c = (int) ((long long) features * after <= 0x7fffffff ? (int) lane / after : lane / after);
  int step = THREADS / width;
  long long block = (rows + rowsPerBlock - 1) / rowsPerBlock - 1 - blockIdx.y;
  long long row = block * rowsPerBlock + threadIdx.x / width;
  long long end = (block + 1) * rowsPerBlock < rows ? (block + 1) * rowsPerBlock : rows;
  long long group = groupRows == rows ? 0 : row / groupRows;
  long long groupEnd = (group + 1) * groupRows;
  Place<E, V, F, LINES> place = {};
  for (; row < end; row += step) {
    bool next = place.from == nullptr;
    while (row >= groupEnd) {
      groupEnd += groupRows;
      group++;
      next = true;
    }
    if (next) {
      place.take(&lines[group * features + c]);
    }
    long long start = row * features * after + lane;
    if (MASKED && counts[row * after + (lane - (long long) c * after)] == 0) {
      output[start] = E::store((A) 0);
      continue;
    }
    place.write(x + (F::INPUT ? start : 0), upstream + (F::UPSTREAM ? start : 0), 1, output + start);
  }
}

// ---- One launch: a block has the rows of a group of some neighbouring features, a tile. It reads them once, into shared memory,
// where the elements of a feature lie together: as a row of as many runs, which sumUnits adds up. Then it mixes, and writes.

static const int MOST_IN_A_TILE = 64; // features

struct Tile {
  int features;    // of this one
  int rows;        // of the group
  int after;
  int pitch;       // elements from one feature to the next
  int width;       // threads, a power of two, across a row
  long long row;   // elements from one row of the batch to the next
  long long start; // its first element in the batch
  int first;       // its first feature
  long long place; // of that among those of all groups
};

// The tile `index` of all: `strip` features of a group, or what is left of them, which lie `strips` to a group.
static __device__ __forceinline__ Tile tileOf(
    long long index, int groupRows, int features, int after, int strip, int strips, int pitch, int width) {
  long long group = index / strips;
  int first = (int) (index - group * strips) * strip;
  Tile r;
  r.features = features - first < strip ? features - first : strip;
  r.rows = groupRows;
  r.after = after;
  r.pitch = pitch;
  r.width = width;
  r.row = (long long) features * after;
  r.start = (group * groupRows * features + first) * after;
  r.first = first;
  r.place = group * features + first;
  return r;
}

// Reads the rows of a tile, some of them before any is put where it belongs. V and LINES as for eachElement.
template <class E, int V, int LINES>
static __device__ __forceinline__ void readTile(
    const Tile& tile, const typename E::Stored* from, typename E::Stored* to) {
  typedef Pack<E, V> P;
  const int ROWS = 4;
  int places = tile.features * tile.after / V;
  int step = THREADS / tile.width;
  for (int lane = threadIdx.x & (tile.width - 1); lane < places; lane += tile.width) {
    int f = lane * V / tile.after;
    const typename E::Stored* packs = from + lane * V;
    typename E::Stored* at = to + f * tile.pitch + (lane * V - f * tile.after);
    for (int row = threadIdx.x / tile.width; row < tile.rows; row += ROWS * step) {
      P pack[ROWS];
      for (int r = 0; r < ROWS; r++) {
        if (row + r * step < tile.rows) {
          pack[r] = *(const P*) (packs + (row + r * step) * tile.row);
        }
      }
      for (int r = 0; r < ROWS; r++) {
        if (row + r * step < tile.rows) {
          typename E::Stored* own = at + (row + r * step) * tile.after;
          if (LINES == 1) {
            *(P*) own = pack[r];
          } else {
            for (int i = 0; i < V; i++) {
              own[i * tile.pitch] = pack[r].at[i];
            }
          }
        }
      }
    }
  }
}

// Writes the rows of a tile; `lines` are those of its features.
template <class E, int V, class F, int LINES>
static __device__ __forceinline__ void writeTile(
    const Tile& tile, const typename E::Stored* x, const typename E::Stored* upstream, const Lines* lines,
    typename E::Stored* output) {
  int places = tile.features * tile.after / V;
  for (int lane = threadIdx.x & (tile.width - 1); lane < places; lane += tile.width) {
    int f = lane * V / tile.after;
    int at = f * tile.pitch + (lane * V - f * tile.after);
    Place<E, V, F, LINES> place;
    place.take(lines + f);
    for (int row = threadIdx.x / tile.width; row < tile.rows; row += THREADS / tile.width) {
      int own = at + row * tile.after;
      place.write(x + own, upstream + own, LINES == 1 ? 1 : tile.pitch, output + lane * V + row * tile.row);
    }
  }
}

template <class E, int VECTOR>
static __device__ __forceinline__ void readTile(
    const Tile& tile, const typename E::Stored* from, typename E::Stored* to, int vector) {
  if (vector == 2) {
    readTile<E, VECTOR, VECTOR>(tile, from, to);
  } else if (vector) {
    readTile<E, VECTOR, 1>(tile, from, to);
  } else {
    readTile<E, 1, 1>(tile, from, to);
  }
}

template <class E, int VECTOR, class F>
static __device__ __forceinline__ void writeTile(
    const Tile& tile, const typename E::Stored* x, const typename E::Stored* upstream, const Lines* lines,
    typename E::Stored* output, int vector) {
  if (vector == 2) {
    writeTile<E, VECTOR, F, VECTOR>(tile, x, upstream, lines, output);
  } else if (vector) {
    writeTile<E, VECTOR, F, 1>(tile, x, upstream, lines, output);
  } else {
    writeTile<E, 1, F, 1>(tile, x, upstream, lines, output);
  }
}

// What a block keeps in shared memory with its tile.
struct TileSums {
  double threads[5][THREADS];
  double features[MOST_IN_A_TILE][5];
  Lines lines[MOST_IN_A_TILE];
};
static_assert(sizeof(TileSums) + 16 <= 16 << 10, "KernelModule takes so much from what a tile may have");

// The sums of a feature of a tile.
static __device__ __forceinline__ Sums sumsOf(const double* of) {
  Sums r = {of[0], of[1], of[2], of[3], of[4]};
  return r;
}

// Reads a tile into `held`, and its upstream gradient to `apart` elements after that. Then `team` threads, a power of two, add up
// each feature. Every thread of the block has to come here.
template <class E, int VECTOR, bool WITH_UPSTREAM>
static __device__ __forceinline__ void addUpTile(
    const Tile& tile, const typename E::Stored* x, const typename E::Stored* upstream, typename E::Stored* held, int apart,
    const double* centers, bool live, int team, int vector, TileSums& shared) {
#pragma unroll 1 // one copy of the code
  for (int i = 0; i < (WITH_UPSTREAM ? 2 : 1); i++) {
    readTile<E, VECTOR>(tile, (i == 0 ? x : upstream) + tile.start, held + i * apart, vector);
  }
  __syncthreads();
  sumUnits<E, 1, WITH_UPSTREAM, false>(held, held + apart, NO_MASK, centers == nullptr ? nullptr : centers + tile.first,
      &shared.features[0][0], 1, 1, tile.features, tile.pitch, tile.rows * tile.after, 1, 1, 1, 0, team, THREADS / team,
      live, shared.threads);
  __syncthreads();
}

// `output` is null where only statistics are asked for.
template <class E, int VECTOR>
static __device__ __forceinline__ void forwardTile(
    const ForwardMix<typename E::Value>& how, const Tile& tile, const typename E::Stored* x, typename E::Stored* output,
    int team, int vector, TileSums& shared) {
  DYNAMIC_SHARED(dynamicShared);
  typename E::Stored* held = (typename E::Stored*) dynamicShared;
  if (how.weight == 0) {
    readTile<E, VECTOR>(tile, x + tile.start, held, vector);
    __syncthreads();
  } else {
    addUpTile<E, VECTOR, false>(tile, x, nullptr, held, 0, nullptr, true, team, vector, shared);
  }
  int f = threadIdx.x;
  if (f < tile.features) {
    Sums live = {};
    if (how.weight != 0) {
      live = sumsOf(shared.features[f]);
    }
    shared.lines[f] = how.line(live, tile.first + f, tile.place + f);
  }
  if (output != nullptr) {
    __syncthreads();
    writeTile<E, VECTOR, Normalize>(tile, held, nullptr, shared.lines, output + tile.start, vector);
  }
}

// The same for the gradients: x and, `apart` elements behind it, the upstream are held.
template <class E, int VECTOR>
static __device__ __forceinline__ void backwardTile(
    const BackwardMix<typename E::Value>& how, const Tile& tile, const typename E::Stored* x,
    const typename E::Stored* upstream, typename E::Stored* output, int apart, int team, int vector, TileSums& shared) {
  DYNAMIC_SHARED(dynamicShared);
  typename E::Stored* held = (typename E::Stored*) dynamicShared;
  addUpTile<E, VECTOR, true>(tile, x, upstream, held, apart, how.centers, how.weight != 0, team, vector, shared);
  int f = threadIdx.x;
  if (f < tile.features) {
    shared.lines[f] = how.line(sumsOf(shared.features[f]), tile.first + f, tile.place + f);
  }
  __syncthreads();
  writeTile<E, VECTOR, DifferentiateOrScale>(tile, held, held + apart, shared.lines, output + tile.start, vector);
}

// ---- One launch for groups that are too large for a block. All its blocks run at once, and each holds a part of a tile from its
// sums to its output. In between it waits for the last block of the tile, which mixes. A part is some rows or, where a row is too
// long for a block, some positions of one. A block with room for two parts adds up its next part before it waits with the last.

struct Parts {
  int ofTile;    // number of parts of a tile
  int rows;      // of a part
  int positions; // of a row in a part: all, unless a part is of one row
  int blocks;    // of the launch, whole tiles at a time
  int held;      // parts that a block has room for: 1 or 2
  int bytes;     // of the room for one

  // A tile's counter counts each part when it is added up, the mixture, and each part again when it has seen the mixture. Then it
  // is where it began, at 0.
  __device__ __forceinline__ unsigned most() const { return 2 * ofTile; }
};

struct Part {
  Tile tile;
  long long group;
  long long ofAll; // the number of its tile
  int ofTile;      // its number in that
};

static __device__ __forceinline__ Part partOf(
    long long index, const Parts& parts, long long groupRows, int features, int after, int strip, int strips, int pitch,
    int width) {
  Part r;
  r.ofAll = index / parts.ofTile;
  r.ofTile = (int) (index - r.ofAll * parts.ofTile);
  r.group = r.ofAll / strips;
  int pieces = (after + parts.positions - 1) / parts.positions; // of a row
  long long row = (long long) (r.ofTile / pieces) * parts.rows;
  int position = r.ofTile % pieces * parts.positions;
  r.tile = tileOf(r.ofAll, 0, features, after, strip, strips, pitch, width); // its rows are set below
  r.tile.start += (r.group * groupRows + row) * r.tile.row + position;
  r.tile.rows = (int) (groupRows - row < parts.rows ? groupRows - row : parts.rows);
  r.tile.after = after - position < parts.positions ? after - position : parts.positions;
  return r;
}

// Adds up a part; the last block to do so mixes what all parts of the tile have added up.
template <class E, int VECTOR, bool WITH_UPSTREAM, class MIX>
static __device__ __forceinline__ void addUpPart(
    const MIX& how, const Part& part, const typename E::Stored* x, const typename E::Stored* upstream,
    typename E::Stored* held, int apart, const double* centers, double* sums, unsigned* counters, Lines* lines,
    const Parts& parts, int features, int team, int vector, TileSums& shared) {
  addUpTile<E, VECTOR, WITH_UPSTREAM>(
      part.tile, x, upstream, held, apart, centers, how.weight != 0, team, vector, shared);
  double* to = sums + ((part.group * parts.ofTile + part.ofTile) * features + part.tile.first) * 5;
  for (int i = threadIdx.x; i < part.tile.features * 5; i += THREADS) {
    to[i] = shared.features[i / 5][i % 5];
  }
  if (isLast(counters + part.ofAll, parts.ofTile, parts.most())) {
    int f = threadIdx.x / team;
    Feature of = {part.group, part.tile.first + f, f < part.tile.features};
    mixGroup(how, sums, lines, of, features, parts.ofTile, team, (Sums*) shared.threads);
    __syncthreads();
    if (threadIdx.x == 0) {
      countBlock(counters + part.ofAll, parts.most());
    }
  }
}

// Writes a part once its tile is mixed.
template <class E, int VECTOR, class F>
static __device__ __forceinline__ void writePart(
    const Part& part, const typename E::Stored* held, int apart, typename E::Stored* output, unsigned* counters,
    const Lines* lines, const Parts& parts, int vector, TileSums& shared) {
  if (threadIdx.x == 0) {
    WAIT_FOR(counters + part.ofAll, parts.ofTile + 1u);
    countBlock(&counters[part.ofAll], parts.most());
  }
  __syncthreads();
  const int DOUBLES = sizeof(Lines) / sizeof(double);
  const double* from = (const double*) (lines + part.tile.place);
  for (int i = threadIdx.x; i < part.tile.features * DOUBLES; i += THREADS) {
    ((double*) shared.lines)[i] = READ_SHARED_BY_BLOCKS(from + i);
  }
  __syncthreads();
  writeTile<E, VECTOR, F>(part.tile, held, held + apart, shared.lines, output + part.tile.start, vector);
  __syncthreads();
}

template <class E, int VECTOR, bool WITH_UPSTREAM, class F, class MIX>
static __device__ __forceinline__ void together(
    const MIX& how, const typename E::Stored* x, const typename E::Stored* upstream, typename E::Stored* output,
    const double* centers, double* sums, unsigned* counters, Lines* lines, const Parts& parts, long long groups,
    long long groupRows, int features, int after, int strip, int pitch, int width, int team, int vector, TileSums& shared) {
  DYNAMIC_SHARED(dynamicShared);
  int strips = (features + strip - 1) / strip;
  int apart = WITH_UPSTREAM ? parts.bytes / 2 / (int) sizeof(typename E::Stored) : 0;
  long long end = groups * strips * parts.ofTile;
  long long toAdd = blockIdx.x;
#pragma unroll 1
  for (long long index = blockIdx.x; index < end; index += parts.blocks) {
#pragma unroll 1 // one copy of the code
    for (; toAdd < end && toAdd < index + (long long) parts.held * parts.blocks; toAdd += parts.blocks) {
      Part part = partOf(toAdd, parts, groupRows, features, after, strip, strips, pitch, width);
      int room = (int) (toAdd / parts.blocks % parts.held) * parts.bytes;
      addUpPart<E, VECTOR, WITH_UPSTREAM>(how, part, x, upstream, (typename E::Stored*) (dynamicShared + room), apart,
          centers, sums, counters, lines, parts, features, team, vector, shared);
    }
    Part part = partOf(index, parts, groupRows, features, after, strip, strips, pitch, width);
    int room = (int) (index / parts.blocks % parts.held) * parts.bytes;
    writePart<E, VECTOR, F>(part, (const typename E::Stored*) (dynamicShared + room), apart, output, counters, lines, parts,
        vector, shared);
  }
}

// The gradients of backward, in 64 bits: Normalization.secondSlopes has the formula. A team of `team` threads (a power
// of two) walks a group twice, for its sums and for what it writes; `mean` and `variance` are those that normalised it,
// `counts` as for eachElement.
template <class E, bool MASKED>
static __device__ __forceinline__ void differentiateTwice(
    const typename E::Stored* x, const typename E::Stored* upstream, const typename E::Stored* second,
    const unsigned char* counts,
    const double* mean, const double* variance, const typename E::Value* gamma, const typename E::Value* vgamma,
    const typename E::Value* vbeta, typename E::Stored* ofX, typename E::Stored* ofUpstream, double* gradients,
    double weight, double epsilon, long long groups, long long groupRows, int features, int after, int team,
    double (*shared)[THREADS]) {
  int member = threadIdx.x & (team - 1);
  int first = threadIdx.x - member;
  long long index = (long long) blockIdx.x * (THREADS / team) + threadIdx.x / team;
  bool real = index < groups * features;
  long long group = real ? index / features : 0;
  int c = real ? (int) (index - group * features) : 0;
  long long elements = real ? groupRows * after : 0;
  double m = mean[group * features + c];
  double s = sqrt(variance[group * features + c] + epsilon);
  const int SUMS = MASKED ? 6 : 5;
  double own[6] = {0, 0, 0, 0, 0, 0};
  for (long long i = member; i < elements; i += team) {
    if (MASKED && counts[group * groupRows * after + i] == 0) {
      continue;
    }
    long long row = i / after;
    long long at = ((group * groupRows + row) * features + c) * after + (i - row * after);
    double dy = E::load(upstream[at]);
    double v = E::load(second[at]);
    double xh = ((double) E::load(x[at]) - m) / s;
    own[0] += dy;
    own[1] += dy * xh;
    own[2] += v;
    own[3] += v * xh;
    own[4] += dy * v;
    own[5]++;
  }
  for (int k = 0; k < SUMS; k++) {
    shared[k][threadIdx.x] = own[k];
  }
  __syncthreads();
  addUpTeam<SUMS>(team, member, threadIdx.x, shared);
  if (!real) {
    return;
  }
  double a = shared[0][first];
  double b = shared[1][first];
  double sumV = shared[2][first];
  double w = shared[3][first];
  double d = shared[4][first];
  double n = MASKED ? shared[5][first] : (double) elements;
  bool alone = weight == 0; // then no sum reaches an element, and x not its own: 0 * NaN is NaN
  double factor = (gamma == nullptr ? 1 : (double) gamma[c]) / s;
  double ofDgamma = vgamma == nullptr ? 0 : (double) vgamma[c];
  double ofDbeta = vbeta == nullptr ? 0 : (double) vbeta[c];
  double share = alone ? 0 : weight / n;
  double k = factor * share;
  double q = alone ? d : d - share * (a * sumV + b * w);
  double cross = (alone ? ofDgamma : ofDgamma - k * w) / s;
  double input = -k * b / s;
  double distance = -share * (ofDgamma * b - 2 * k * b * w + factor * q) / s / s;
  double constant = -share * (ofDgamma * a - k * (a * w + b * sumV)) / s;
  double upstreamConstant = alone ? ofDbeta : ofDbeta - k * sumV;
  for (long long i = member; i < elements; i += team) {
    long long row = i / after;
    long long at = ((group * groupRows + row) * features + c) * after + (i - row * after);
    if (MASKED && counts[group * groupRows * after + i] == 0) {
      ofX[at] = ofUpstream[at] = E::store(0.0);
      continue;
    }
    double dy = E::load(upstream[at]);
    double v = E::load(second[at]);
    double deviation = (double) E::load(x[at]) - m;
    double live = alone ? 0 : input * v + distance * deviation + constant;
    ofX[at] = E::store(cross * dy + live);
    ofUpstream[at] = E::store(factor * v + cross * deviation + upstreamConstant);
  }
  if (member == 0) {
    double* to = gradients + (group * features + c) * GRADIENTS; // for vbn_sum_groups
    to[0] = MASKED && n == 0 ? 0 : q / s;
    to[1] = 0;
    to[2] = 0;
    to[3] = 0;
  }
}

// ---- Entries. Booleans are ints. `vector` is not 0 where 16 bytes at once are allowed: the runs' length is a multiple of them, and
// every pointer is aligned so. VECTOR is how many elements that is.

// Where `vector` is 2, they are neighbouring features, and `after` is 1.
#define EACH_ELEMENT(E, VECTOR, F, X, UPSTREAM) \
  if (vector == 2) { \
    eachElement<E, VECTOR, F, false, VECTOR>(X, UPSTREAM, nullptr, output, lines, rows, groupRows, rowsPerBlock, features, \
        after, width); \
  } else if (vector) { \
    eachElement<E, VECTOR, F, false, 1>(X, UPSTREAM, nullptr, output, lines, rows, groupRows, rowsPerBlock, features, \
        after, width); \
  } else { \
    eachElement<E, 1, F, false, 1>(X, UPSTREAM, nullptr, output, lines, rows, groupRows, rowsPerBlock, features, \
        after, width); \
  }

// What mixing needs, and how.
#define FORWARD_MIX_OF(P) \
  const double* referenceMean, const double* referenceVariance, const P* gamma, const P* beta, double* mean, \
      double* variance, double weight, double epsilon
#define FORWARD_MIX(P) \
  ForwardMix<P> how = {referenceMean, referenceVariance, gamma, beta, mean, variance, weight, epsilon}
#define BACKWARD_MIX_OF(P) \
  const double* centers, const double* referenceMean, const double* referenceVariance, const P* gamma, \
      double* gradients, P* dgamma, P* dbeta, double* dMean, double* dVariance, double weight, double epsilon
#define BACKWARD_MIX(P) \
  BackwardMix<P> how = {centers, referenceMean, referenceVariance, gamma, gradients, dgamma, dbeta, dMean, dVariance, \
      weight, epsilon}

// Where sums of units go, and what the last block of a group mixes them into.
#define UNITS double* sums, unsigned* counters, Lines* lines

#define ENTRIES(NAME, E, VECTOR) \
  extern "C" __global__ void __launch_bounds__(256) vbn_sums_##NAME( \
      const E::Stored* x, FORWARD_MIX_OF(E::Value), UNITS, long long groups, long long groupRows, int features, int after, int segment, \
      int segments, long long itemsPerUnit, int unitsPerGroup, int lanes, int width, int mixTeam, int vector) { \
    __shared__ double shared[5][THREADS]; \
    FORWARD_MIX(E::Value); \
    if (vector) { \
      sumUnits<E, VECTOR, false, false>(x, nullptr, NO_MASK, nullptr, sums, groups, groupRows, features, after, segment, segments, \
          itemsPerUnit, unitsPerGroup, blockIdx.x, lanes, width, true, shared); \
    } else { \
      sumUnits<E, 1, false, false>(x, nullptr, NO_MASK, nullptr, sums, groups, groupRows, features, after, segment, segments, \
          itemsPerUnit, unitsPerGroup, blockIdx.x, lanes, width, true, shared); \
    } \
    mixIfLast(how, sums, counters, lines, groups, features, unitsPerGroup, width, mixTeam, shared); \
  } \
  extern "C" __global__ void __launch_bounds__(256) vbn_gradient_sums_##NAME( \
      const E::Stored* x, const E::Stored* upstream, BACKWARD_MIX_OF(E::Value), UNITS, long long groups, long long groupRows, \
      int features, int after, int segment, int segments, long long itemsPerUnit, int unitsPerGroup, int lanes, \
      int width, int mixTeam, int vector) { \
    __shared__ double shared[5][THREADS]; \
    BACKWARD_MIX(E::Value); \
    bool live = weight != 0; \
    if (vector) { \
      sumUnits<E, VECTOR, true, false>(x, upstream, NO_MASK, centers, sums, groups, groupRows, features, after, segment, segments, \
          itemsPerUnit, unitsPerGroup, blockIdx.x, lanes, width, live, shared); \
    } else { \
      sumUnits<E, 1, true, false>(x, upstream, NO_MASK, centers, sums, groups, groupRows, features, after, segment, segments, \
          itemsPerUnit, unitsPerGroup, blockIdx.x, lanes, width, live, shared); \
    } \
    mixIfLast(how, sums, counters, lines, groups, features, unitsPerGroup, width, mixTeam, shared); \
  } \
  extern "C" __global__ void __launch_bounds__(256) vbn_normalize_##NAME( \
      const E::Stored* x, E::Stored* output, const Lines* lines, long long rows, long long groupRows, \
      long long rowsPerBlock, int features, int after, int width, int vector) { \
    EACH_ELEMENT(E, VECTOR, Normalize, x, nullptr) \
  } \
  extern "C" __global__ void __launch_bounds__(256) vbn_differentiate_##NAME( \
      const E::Stored* x, const E::Stored* upstream, E::Stored* output, const Lines* lines, long long rows, \
      long long groupRows, long long rowsPerBlock, int features, int after, \
      int width, int vector) { \
    if (x == nullptr) { \
      EACH_ELEMENT(E, VECTOR, Scale, x, upstream) \
    } else { \
      EACH_ELEMENT(E, VECTOR, Differentiate, x, upstream) \
    } \
  } \
  extern "C" __global__ void __launch_bounds__(256) vbn_differentiate_twice_##NAME( \
      const E::Stored* x, const E::Stored* upstream, const E::Stored* second, const double* mean, \
      const double* variance, const E::Value* gamma, const E::Value* vgamma, const E::Value* vbeta, E::Stored* ofX, \
      E::Stored* ofUpstream, double* gradients, double weight, double epsilon, long long groups, \
      long long groupRows, int features, int after, int team) { \
    __shared__ double shared[5][THREADS]; \
    differentiateTwice<E, false>(x, upstream, second, nullptr, mean, variance, gamma, vgamma, vbeta, ofX, ofUpstream, gradients, \
        weight, epsilon, groups, groupRows, features, after, team, shared); \
  }

// One launch for small groups.
#define TILE_ENTRIES(NAME, E, VECTOR) \
  extern "C" __global__ void __launch_bounds__(256) vbn_forward_##NAME( \
      const E::Stored* x, FORWARD_MIX_OF(E::Value), E::Stored* output, int groupRows, int features, int after, int strip, \
      int strips, int pitch, int width, int team, int vector) { \
    __shared__ TileSums shared; \
    FORWARD_MIX(E::Value); \
    Tile tile = tileOf(blockIdx.x, groupRows, features, after, strip, strips, pitch, width); \
    forwardTile<E, VECTOR>(how, tile, x, output, team, vector, shared); \
  } \
  extern "C" __global__ void __launch_bounds__(256) vbn_backward_##NAME( \
      const E::Stored* x, const E::Stored* upstream, BACKWARD_MIX_OF(E::Value), E::Stored* output, int groupRows, \
      int features, int after, int strip, int strips, int pitch, int apart, int width, int team, int vector) { \
    __shared__ TileSums shared; \
    BACKWARD_MIX(E::Value); \
    Tile tile = tileOf(blockIdx.x, groupRows, features, after, strip, strips, pitch, width); \
    backwardTile<E, VECTOR>(how, tile, x, upstream, output, apart, team, vector, shared); \
  }

// One cooperative launch for larger ones.
#define PARTS UNITS, int partsOfTile, int partRows, int partPositions, int blocks, int held, int partBytes
#define PARTS_OF Parts parts = {partsOfTile, partRows, partPositions, blocks, held, partBytes}
#define PART_ENTRIES(NAME, E, VECTOR) \
  extern "C" __global__ void __launch_bounds__(256) vbn_forward_together_##NAME( \
      const E::Stored* x, FORWARD_MIX_OF(E::Value), E::Stored* output, PARTS, long long groups, long long groupRows, int features, \
      int after, int strip, int pitch, int width, int team, int vector) { \
    __shared__ TileSums shared; \
    FORWARD_MIX(E::Value); \
    PARTS_OF; \
    together<E, VECTOR, false, Normalize>(how, x, nullptr, output, nullptr, sums, counters, lines, parts, groups, groupRows, \
        features, after, strip, pitch, width, team, vector, shared); \
  } \
  extern "C" __global__ void __launch_bounds__(256) vbn_backward_together_##NAME( \
      const E::Stored* x, const E::Stored* upstream, BACKWARD_MIX_OF(E::Value), E::Stored* output, PARTS, long long groups, \
      long long groupRows, int features, int after, int strip, int pitch, int width, int team, int vector) { \
    __shared__ TileSums shared; \
    BACKWARD_MIX(E::Value); \
    PARTS_OF; \
    together<E, VECTOR, true, DifferentiateOrScale>(how, x, upstream, output, centers, sums, counters, lines, parts, groups, groupRows, \
        features, after, strip, pitch, width, team, vector, shared); \
  }

PART_ENTRIES(float32, Float32, 4)
PART_ENTRIES(float64, Float64, 2)
PART_ENTRIES(float16, Float16, 8)
PART_ENTRIES(bfloat16, BFloat16, 8)

TILE_ENTRIES(float32, Float32, 4)
TILE_ENTRIES(float64, Float64, 2)
TILE_ENTRIES(float16, Float16, 8)
TILE_ENTRIES(bfloat16, BFloat16, 8)

ENTRIES(float32, Float32, 4)
ENTRIES(float64, Float64, 2)
ENTRIES(float16, Float16, 8)
ENTRIES(bfloat16, BFloat16, 8)

#define COLUMN_ENTRIES(NAME, E) \
  extern "C" __global__ void __launch_bounds__(256) vbn_column_sums_##NAME( \
      const E::Stored* x, FORWARD_MIX_OF(E::Value), UNITS, long long groups, long long groupRows, int features, long long rowsPerUnit, \
      int unitsPerGroup, int width, int mixTeam) { \
    __shared__ double shared[5][THREADS]; \
    FORWARD_MIX(E::Value); \
    sumColumns<E, 4, false>(x, nullptr, nullptr, sums, groups, groupRows, features, rowsPerUnit, unitsPerGroup, width, true, \
        shared); \
    mixIfLast(how, sums, counters, lines, groups, features, unitsPerGroup, 4 * width, mixTeam, shared); \
  } \
  extern "C" __global__ void __launch_bounds__(256) vbn_column_gradient_sums_##NAME( \
      const E::Stored* x, const E::Stored* upstream, BACKWARD_MIX_OF(E::Value), UNITS, long long groups, long long groupRows, \
      int features, long long rowsPerUnit, int unitsPerGroup, int width, int mixTeam) { \
    __shared__ double shared[5][THREADS]; \
    BACKWARD_MIX(E::Value); \
    sumColumns<E, 4, true>(x, upstream, centers, sums, groups, groupRows, features, rowsPerUnit, unitsPerGroup, width, \
        weight != 0, shared); \
    mixIfLast(how, sums, counters, lines, groups, features, unitsPerGroup, 4 * width, mixTeam, shared); \
  }

COLUMN_ENTRIES(float32, Float32)
COLUMN_ENTRIES(float16, Float16)
COLUMN_ENTRIES(bfloat16, BFloat16)

// The same of a masked batch, with the same arguments and the mask behind them. Everything is read one by one.
#define MASKED_ENTRIES(NAME, E) \
  extern "C" __global__ void __launch_bounds__(256) vbn_masked_sums_##NAME( \
      const E::Stored* x, FORWARD_MIX_OF(E::Value), UNITS, long long groups, long long groupRows, int features, int after, int segment, \
      int segments, long long itemsPerUnit, int unitsPerGroup, int lanes, int width, int mixTeam, int, \
      const unsigned char* counts, const Item* items) { \
    __shared__ double shared[5][THREADS]; \
    FORWARD_MIX(E::Value); \
    Mask mask = {counts, items}; \
    sumUnits<E, 1, false, true>(x, nullptr, mask, nullptr, sums, groups, groupRows, features, after, segment, segments, \
        itemsPerUnit, unitsPerGroup, blockIdx.x, lanes, width, true, shared); \
    mixIfLast(how, sums, counters, lines, groups, features, unitsPerGroup, width, mixTeam, shared); \
  } \
  extern "C" __global__ void __launch_bounds__(256) vbn_masked_gradient_sums_##NAME( \
      const E::Stored* x, const E::Stored* upstream, BACKWARD_MIX_OF(E::Value), UNITS, long long groups, long long groupRows, \
      int features, int after, int segment, int segments, long long itemsPerUnit, int unitsPerGroup, int lanes, \
      int width, int mixTeam, int, const unsigned char* counts, const Item* items) { \
    __shared__ double shared[5][THREADS]; \
    BACKWARD_MIX(E::Value); \
    Mask mask = {counts, items}; \
    sumUnits<E, 1, true, true>(x, upstream, mask, centers, sums, groups, groupRows, features, after, segment, segments, \
        itemsPerUnit, unitsPerGroup, blockIdx.x, lanes, width, weight != 0, shared); \
    mixIfLast(how, sums, counters, lines, groups, features, unitsPerGroup, width, mixTeam, shared); \
  } \
  extern "C" __global__ void __launch_bounds__(256) vbn_masked_normalize_##NAME( \
      const E::Stored* x, E::Stored* output, const Lines* lines, long long rows, long long groupRows, \
      long long rowsPerBlock, int features, int after, int width, int, const unsigned char* counts) { \
    eachElement<E, 1, Normalize, true, 1>(x, nullptr, counts, output, lines, rows, groupRows, rowsPerBlock, \
        features, after, width); \
  } \
  extern "C" __global__ void __launch_bounds__(256) vbn_masked_differentiate_##NAME( \
      const E::Stored* x, const E::Stored* upstream, E::Stored* output, const Lines* lines, long long rows, \
      long long groupRows, long long rowsPerBlock, int features, int after, \
      int width, int, const unsigned char* counts) { \
    if (x == nullptr) { \
      eachElement<E, 1, Scale, true, 1>(x, upstream, counts, output, lines, rows, groupRows, rowsPerBlock, \
          features, after, width); \
    } else { \
      eachElement<E, 1, Differentiate, true, 1>(x, upstream, counts, output, lines, rows, groupRows, rowsPerBlock, \
          features, after, width); \
    } \
  } \
  extern "C" __global__ void __launch_bounds__(256) vbn_masked_differentiate_twice_##NAME( \
      const E::Stored* x, const E::Stored* upstream, const E::Stored* second, const double* mean, \
      const double* variance, const E::Value* gamma, const E::Value* vgamma, const E::Value* vbeta, E::Stored* ofX, \
      E::Stored* ofUpstream, double* gradients, double weight, double epsilon, long long groups, \
      long long groupRows, int features, int after, int team, const unsigned char* counts) { \
    __shared__ double shared[6][THREADS]; \
    differentiateTwice<E, true>(x, upstream, second, counts, mean, variance, gamma, vgamma, vbeta, ofX, ofUpstream, \
        gradients, weight, epsilon, groups, groupRows, features, after, team, shared); \
  }

MASKED_ENTRIES(float32, Float32)
MASKED_ENTRIES(float64, Float64)
MASKED_ENTRIES(float16, Float16)
MASKED_ENTRIES(bfloat16, BFloat16)

// The items of a mask, and its bytes where lengths stand for them: of each example, of `exampleRows` rows, the positions p
// with p / inner % along < length. A team of `team` threads (a power of two) has an item.
extern "C" __global__ void __launch_bounds__(256) vbn_mask(
    const long long* lengths, unsigned char* counts, Item* items, long long rows, long long exampleRows, int after,
    long long along, long long inner, int segment, int segments, int team) {
  __shared__ Item found[THREADS];
  int member = threadIdx.x & (team - 1);
  long long index = (long long) blockIdx.x * (THREADS / team) + threadIdx.x / team;
  Item own = {segment, 0, 0};
  bool real = index < rows * segments;
  if (real) {
    long long row = index / segments;
    int begin = (int) (index - row * segments) * segment;
    int length = after - begin < segment ? after - begin : segment;
    long long example = row / exampleRows;
    long long first = (row - example * exampleRows) * after + begin; // of the example's positions
    unsigned char* of = counts + row * after + begin;
    for (int i = member; i < length; i += team) {
      if (lengths != nullptr) {
        of[i] = (first + i) / inner % along < lengths[example];
      }
      if (of[i] != 0) {
        own.first = own.count == 0 ? i : own.first;
        own.end = i + 1;
        own.count++;
      }
    }
  }
  found[threadIdx.x] = own;
  __syncthreads();
  for (int step = team / 2; step > 0; step /= 2) {
    if (member < step) {
      Item other = found[threadIdx.x + step];
      Item& mine = found[threadIdx.x];
      mine.first = other.first < mine.first ? other.first : mine.first;
      mine.end = other.end > mine.end ? other.end : mine.end;
      mine.count += other.count;
    }
    __syncthreads();
  }
  if (real && member == 0) {
    items[index] = found[threadIdx.x];
  }
}

// Parameters are of 32 bits, or of 64 with batches of 64.
#define PARAMETER_ENTRIES(NAME, P) \
  extern "C" __global__ void __launch_bounds__(256) vbn_mix_forward_##NAME( \
      FORWARD_MIX_OF(P), const double* sums, Lines* lines, long long groups, int features, int unitsPerGroup, int team) { \
    __shared__ Sums shared[THREADS]; \
    FORWARD_MIX(P); \
    mixGroups(how, sums, lines, groups, features, unitsPerGroup, team, shared); \
  } \
  extern "C" __global__ void __launch_bounds__(256) vbn_mix_backward_##NAME( \
      BACKWARD_MIX_OF(P), const double* sums, Lines* lines, long long groups, int features, int unitsPerGroup, \
      int team) { \
    __shared__ Sums shared[THREADS]; \
    BACKWARD_MIX(P); \
    mixGroups(how, sums, lines, groups, features, unitsPerGroup, team, shared); \
  } \
  extern "C" __global__ void __launch_bounds__(256) vbn_sum_groups_##NAME( \
      const double* gradients, P* dgamma, P* dbeta, double* dMean, double* dVariance, long long groups, int features, \
      int team) { \
    __shared__ double shared[GRADIENTS][THREADS]; \
    sumGroups<P>(gradients, dgamma, dbeta, dMean, dVariance, groups, features, team, shared); \
  }

PARAMETER_ENTRIES(float32, float)
PARAMETER_ENTRIES(float64, double)

// Lines with which vbn_normalize carries the gradients of the reference statistics on to the reference batch:
// dr = 2*dvr/elements * (r - mr) + dmr/elements. `elements` are those of a feature in the whole reference batch.
extern "C" __global__ void __launch_bounds__(256) vbn_reference_lines(
    const double* referenceMean, const double* dMean, const double* dVariance, Lines* lines, double elements,
    int features) {
  int c = blockIdx.x * THREADS + threadIdx.x;
  if (c < features) {
    lines[c] = linesOf(referenceMean[c], 2 * dVariance[c] / elements, dMean[c] / elements, 1);
  }
}

// Lines of numbers that the host has: centers, slopes, offsets and factors, each of all groups.
extern "C" __global__ void __launch_bounds__(256) vbn_lines(const double* numbers, Lines* lines, long long groups) {
  long long i = (long long) blockIdx.x * THREADS + threadIdx.x;
  if (i < groups) {
    lines[i] = linesOf(numbers[i], numbers[groups + i], numbers[2 * groups + i], numbers[3 * groups + i]);
  }
}
