/*
 * Virtual batch normalization in C, as one would write it by hand: what a contender in any other language is measured
 * against. Feature by feature, as the formula is read; and in the order of the memory, in two sweeps.
 *
 * gcc -O3 -march=native, and leave to add in another order, without which no compiler vectorises a sum.
 */
#include <jni.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LANES 1024 /* of a strip: what is kept for each of them stays in the first-level cache */
#define PAD 24     /* arrays must not lie a multiple of 4 KiB apart */
#define PIECE 1024 /* elements that are added up in 32 bits at most */
#define RUN 64     /* shorter runs are added lane by lane */

/* A batch, [rows, features, run], with all that is computed from it. */
typedef struct {
  long rows, features, run, size;
  float weight, epsilon;
  float *x, *dy, *out, *gamma, *beta, *mean, *variance, *dgamma, *dbeta;
  /* Of each feature: a shift, and sums of d = x - shift, d*d, dy and dy*d. */
  double *shift, *sum, *square, *upstream, *product;
  /* The line that its output lies on: factor*x + offset, or factor*dy + slope*x + offset. */
  float *factor, *slope, *offset;
} Batch;

static void *room(size_t bytes) {
  void *memory = NULL;
  return posix_memalign(&memory, 64, bytes + 64 * PAD) == 0 ? memory : NULL;
}

/* From the sums of a feature to its line; with gradient, to that of dx, and to dgamma and dbeta. */
static void line(Batch *b, long f, int gradient) {
  double n = (double) b->rows * b->run, w = b->weight;
  double moved = b->sum[f] / n, mean = b->shift[f] + moved;
  double variance = b->square[f] / n - moved * moved, apart = mean - b->mean[f];
  double mixed = b->mean[f] + w * apart;
  double s = sqrt((1 - w) * b->variance[f] + w * variance + w * (1 - w) * apart * apart + b->epsilon);
  double factor = b->gamma[f] / s;
  b->factor[f] = (float) factor;
  if (!gradient) {
    b->offset[f] = (float) (b->beta[f] - factor * mixed);
    return;
  }
  double dbeta = b->upstream[f], dgamma = (b->product[f] + (b->shift[f] - mixed) * dbeta) / s;
  double slope = -factor * w / n * dgamma / s;
  b->dbeta[f] = (float) dbeta;
  b->dgamma[f] = (float) dgamma;
  b->slope[f] = (float) slope;
  b->offset[f] = (float) (-factor * w / n * dbeta - slope * mixed);
}

static void clear(Batch *b, long f, long count) {
  for (long i = f; i < f + count; i++) {
    b->shift[i] = b->x[i * b->run];
    b->sum[i] = b->square[i] = b->upstream[i] = b->product[i] = 0;
  }
}

static void write_run(const Batch *b, long f, long at, int gradient) {
  const float *restrict x = b->x + at, *restrict dy = b->dy + at;
  float *restrict out = b->out + at;
  float factor = b->factor[f], slope = b->slope[f], offset = b->offset[f];
  if (gradient) {
    for (long i = 0; i < b->run; i++) out[i] = factor * dy[i] + (slope * x[i] + offset);
  } else {
    for (long i = 0; i < b->run; i++) out[i] = factor * x[i] + offset;
  }
}

static void by_feature(Batch *b, int gradient) {
  for (long f = 0; f < b->features; f++) {
    clear(b, f, 1);
    float shift = (float) b->shift[f];
    for (long row = 0; row < b->rows; row++) {
      long at = (row * b->features + f) * b->run;
      const float *x = b->x + at, *dy = b->dy + at;
      float sum = 0, square = 0, upstream = 0, product = 0;
      if (gradient) {
        for (long i = 0; i < b->run; i++) {
          float d = x[i] - shift;
          sum += d, square += d * d, upstream += dy[i], product += dy[i] * d;
        }
      } else {
        for (long i = 0; i < b->run; i++) {
          float d = x[i] - shift;
          sum += d, square += d * d;
        }
      }
      b->sum[f] += sum, b->square[f] += square, b->upstream[f] += upstream, b->product[f] += product;
    }
    line(b, f, gradient);
    for (long row = b->rows - 1; row >= 0; row--) write_run(b, f, (row * b->features + f) * b->run, gradient);
  }
}

/* Sixteen numbers at a time, wherever they lie. */
typedef float Vector __attribute__((vector_size(64), aligned(4), may_alias));
#define WIDTH 16

static double total(Vector v) {
  float sum = 0;
  for (int i = 0; i < WIDTH; i++) sum += v[i];
  return sum;
}

static void add_piece(Batch *b, long f, long at, long count, int gradient) {
  const float *x = b->x + at, *dy = b->dy + at;
  float shift = (float) b->shift[f];
  Vector s = {0}, q = {0}, t = {0}, r = {0}, u = {0}, p = {0};
  long i = 0;
  if (gradient) {
    for (; i + WIDTH <= count; i += WIDTH) {
      Vector d = *(const Vector *) (x + i) - shift, g = *(const Vector *) (dy + i);
      s += d, q += d * d, u += g, p += g * d;
    }
  } else {
    for (; i + 2 * WIDTH <= count; i += 2 * WIDTH) {
      Vector d = *(const Vector *) (x + i) - shift, e = *(const Vector *) (x + i + WIDTH) - shift;
      s += d, q += d * d, t += e, r += e * e;
    }
  }
  for (int lane = 0; i < count; i++, lane = (lane + 1) % WIDTH) {
    float d = x[i] - shift;
    s[lane] += d, q[lane] += d * d;
    if (gradient) u[lane] += dy[i], p[lane] += dy[i] * d;
  }
  b->sum[f] += total(s + t);
  b->square[f] += total(q + r);
  if (gradient) b->upstream[f] += total(u), b->product[f] += total(p);
}

static void in_order_of_runs(Batch *b, int gradient) {
  clear(b, 0, b->features);
  for (long row = 0; row < b->rows; row++) {
    for (long f = 0; f < b->features; f++) {
      long at = (row * b->features + f) * b->run;
      for (long i = 0; i < b->run; i += PIECE) {
        add_piece(b, f, at + i, b->run - i < PIECE ? b->run - i : PIECE, gradient);
      }
    }
  }
  for (long f = 0; f < b->features; f++) line(b, f, gradient);
  for (long row = b->rows - 1; row >= 0; row--) {
    for (long f = b->features - 1; f >= 0; f--) write_run(b, f, (row * b->features + f) * b->run, gradient);
  }
}

/* A strip: the same lanes of all rows. Several rows are one where they are short, and few features are left. */
static void in_order_of_strips(Batch *b, int gradient) {
  static float shift[LANES + PAD], s[LANES + PAD], q[LANES + PAD], u[LANES + PAD], p[LANES + PAD];
  static float factor[LANES + PAD], slope[LANES + PAD], offset[LANES + PAD];
  static double wide[4][LANES + PAD];
  static long of[LANES + PAD]; /* the feature of each lane */
  long joined = 1, length = b->features * b->run;
  while (2 * joined * length <= LANES && b->rows % (2 * joined) == 0 && b->rows / (2 * joined) >= 16) joined *= 2;
  long rows = b->rows / joined, whole = joined * length, step = LANES / b->run * b->run;
  for (long from = 0; from < whole; from += step) {
    long count = whole - from < step ? whole - from : step;
    long first = from / b->run, features = joined > 1 ? b->features : count / b->run;
    clear(b, first, features);
    for (long i = 0; i < count;) {
      for (long f = first; f < first + features; f++) {
        for (long end = i + b->run; i < end; i++) of[i] = f;
      }
    }
    for (long i = 0; i < count; i++) shift[i] = (float) b->shift[of[i]];
    memset(wide, 0, sizeof wide);
    for (long row = 0; row < rows;) {
      memset(s, 0, 4 * count), memset(q, 0, 4 * count), memset(u, 0, 4 * count), memset(p, 0, 4 * count);
      for (long end = row + 32 < rows ? row + 32 : rows; row < end;) {
        const float *restrict x = b->x + row * whole + from, *restrict dy = b->dy + row * whole + from;
        if (gradient && end - row >= 2) {
          for (long i = 0; i < count; i++) {
            float d = x[i] - shift[i], e = x[whole + i] - shift[i], g = dy[i], h = dy[whole + i];
            s[i] += d + e, q[i] += d * d + e * e, u[i] += g + h, p[i] += g * d + h * e;
          }
          row += 2;
        } else if (gradient) {
          for (long i = 0; i < count; i++) {
            float d = x[i] - shift[i];
            s[i] += d, q[i] += d * d, u[i] += dy[i], p[i] += dy[i] * d;
          }
          row++;
        } else if (end - row >= 4) {
          for (long i = 0; i < count; i++) {
            float d = x[i] - shift[i], e = x[whole + i] - shift[i];
            float g = x[2 * whole + i] - shift[i], h = x[3 * whole + i] - shift[i];
            s[i] += d + e + (g + h), q[i] += d * d + e * e + (g * g + h * h);
          }
          row += 4;
        } else {
          for (long i = 0; i < count; i++) {
            float d = x[i] - shift[i];
            s[i] += d, q[i] += d * d;
          }
          row++;
        }
      }
      for (long i = 0; i < count; i++) wide[0][i] += s[i], wide[1][i] += q[i];
      if (gradient) for (long i = 0; i < count; i++) wide[2][i] += u[i], wide[3][i] += p[i];
    }
    for (long i = 0; i < count; i++) {
      long f = of[i];
      b->sum[f] += wide[0][i], b->square[f] += wide[1][i], b->upstream[f] += wide[2][i], b->product[f] += wide[3][i];
    }
    for (long f = first; f < first + features; f++) line(b, f, gradient);
    for (long i = 0; i < count; i++) {
      long f = of[i];
      factor[i] = b->factor[f], slope[i] = b->slope[f], offset[i] = b->offset[f];
    }
    for (long row = rows - 1; row >= 0; row--) {
      const float *restrict x = b->x + row * whole + from, *restrict dy = b->dy + row * whole + from;
      float *restrict out = b->out + row * whole + from;
      if (gradient) {
        for (long i = 0; i < count; i++) out[i] = factor[i] * dy[i] + (slope[i] * x[i] + offset[i]);
      } else {
        for (long i = 0; i < count; i++) out[i] = factor[i] * x[i] + offset[i];
      }
    }
  }
}

static float *copied(JNIEnv *env, jfloatArray from) {
  jsize length = (*env)->GetArrayLength(env, from);
  float *to = room(sizeof(float) * (size_t) length);
  if (to) (*env)->GetFloatArrayRegion(env, from, 0, length, to);
  return to;
}

JNIEXPORT jlong JNICALL Java_dev_vbn_bench_CLibrary_open(JNIEnv *env, jclass type, jlong rows, jlong features, jlong run,
    jdouble weight, jdouble epsilon, jfloatArray x, jfloatArray dy, jfloatArray mean, jfloatArray variance,
    jfloatArray gamma, jfloatArray beta) {
  Batch *b = room(sizeof(Batch));
  if (!b) return 0;
  *b = (Batch){rows, features, run, rows * features * run, (float) weight, (float) epsilon};
  b->x = copied(env, x), b->dy = dy ? copied(env, dy) : b->x, b->out = room(sizeof(float) * (size_t) b->size);
  b->mean = copied(env, mean), b->variance = copied(env, variance);
  b->gamma = copied(env, gamma), b->beta = copied(env, beta);
  float **floats[] = {&b->dgamma, &b->dbeta, &b->factor, &b->slope, &b->offset};
  double **doubles[] = {&b->shift, &b->sum, &b->square, &b->upstream, &b->product};
  int there = b->x && b->dy && b->out && b->mean && b->variance && b->gamma && b->beta;
  for (int i = 0; i < 5; i++) {
    *floats[i] = room(sizeof(float) * (size_t) features);
    *doubles[i] = room(sizeof(double) * (size_t) features);
    there = there && *floats[i] && *doubles[i];
  }
  return there ? (jlong) b : 0;
}

JNIEXPORT void JNICALL Java_dev_vbn_bench_CLibrary_run(JNIEnv *env, jclass type, jlong batch, jboolean ordered,
    jboolean gradient) {
  Batch *b = (Batch *) batch;
  if (!ordered) {
    by_feature(b, gradient);
  } else if (b->run >= RUN) {
    in_order_of_runs(b, gradient);
  } else {
    in_order_of_strips(b, gradient);
  }
}

JNIEXPORT void JNICALL Java_dev_vbn_bench_CLibrary_read(JNIEnv *env, jclass type, jlong batch, jfloatArray out,
    jfloatArray dgamma, jfloatArray dbeta) {
  Batch *b = (Batch *) batch;
  (*env)->SetFloatArrayRegion(env, out, 0, (jsize) b->size, b->out);
  (*env)->SetFloatArrayRegion(env, dgamma, 0, (jsize) b->features, b->dgamma);
  (*env)->SetFloatArrayRegion(env, dbeta, 0, (jsize) b->features, b->dbeta);
}

JNIEXPORT void JNICALL Java_dev_vbn_bench_CLibrary_close(JNIEnv *env, jclass type, jlong batch) {
  Batch *b = (Batch *) batch;
  if (b->dy != b->x) free(b->dy);
  void *all[] = {b->x, b->out, b->mean, b->variance, b->gamma, b->beta, b->dgamma, b->dbeta, b->factor, b->slope,
      b->offset, b->shift, b->sum, b->square, b->upstream, b->product, b};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}
