/*
 * Virtual batch normalization in C, a program behind VBN's backend `process` (docs/PROCESS.md):
 *
 *     cc -O2 -o c_backend c_backend.c -lm
 *
 * For code of your own, change what stands above "Messages". All arithmetic is in 64 bits.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME "C"
#define CAPABILITIES "FLOAT64 FLOAT64_STATISTICS SUBNORMALS"

/* A tensor of 64-bit numbers, whatever it was sent as. */
typedef struct {
  char name[16];
  int wide; /* sent as F64, else as F32 */
  int rank;
  size_t shape[8], size;
  double *data;
} Tensor;

typedef struct {
  size_t batch, before, features, after; /* of x */
  int by_example, attached;
  double weight, epsilon, elements;
} How;

/* Element p of a group: position p of one example, or of all examples in turn. */
static size_t place(const How *how, size_t group, size_t feature, size_t p) {
  size_t positions = how->before * how->after;
  size_t example = how->by_example ? group : p / positions;
  size_t position = how->by_example ? p : p % positions;
  return ((example * how->before + position / how->after) * how->features + feature) * how->after + position % how->after;
}

static size_t group_count(const How *how) { return how->by_example ? how->batch : 1; }

static size_t group_size(const How *how) {
  return how->before * how->after * (how->by_example ? 1 : how->batch);
}

/* Sums by Kahan's method: 2^18 elements one after the other would be too coarse in 64 bits. */
typedef struct {
  double sum, lost;
} Sum;

static void add(Sum *sum, double term) {
  double with = term - sum->lost;
  double next = sum->sum + with;
  sum->lost = isfinite(next) ? (next - sum->sum) - with : 0;
  sum->sum = next;
}

static void moments(const How *how, const Tensor *x, size_t group, size_t feature, double *mean, double *variance) {
  size_t n = group_size(how);
  Sum sum = {0, 0}, squares = {0, 0};
  for (size_t p = 0; p < n; p++) add(&sum, x->data[place(how, group, feature, p)]);
  *mean = sum.sum / n;
  for (size_t p = 0; p < n; p++) {
    double far = x->data[place(how, group, feature, p)] - *mean;
    add(&squares, far * far);
  }
  *variance = squares.sum / n;
}

/* What normalises a group. At weights 0 and 1 the other side does not show, NaN included. */
typedef struct {
  double d, m, s;
} Mixture;

static Mixture mix(const How *how, const Tensor *x, size_t group, size_t feature, const Tensor *mean, const Tensor *variance) {
  double w = how->weight, ma = 0, va = 0;
  double mr = mean ? mean->data[feature] : 0, vr = variance ? variance->data[feature] : 0;
  if (w > 0) moments(how, x, group, feature, &ma, &va);
  if (w == 0) return (Mixture){0, mr, sqrt(vr + how->epsilon)};
  if (w == 1) return (Mixture){0, ma, sqrt(va + how->epsilon)};
  double d = ma - mr;
  return (Mixture){d, mr + w * d, sqrt((1 - w) * vr + w * va + w * (1 - w) * d * d + how->epsilon)};
}

static void statistics(const How *how, const Tensor *x, Tensor *mean, Tensor *variance) {
  for (size_t g = 0; g < group_count(how); g++)
    for (size_t f = 0; f < how->features; f++)
      moments(how, x, g, f, &mean->data[g * how->features + f], &variance->data[g * how->features + f]);
}

static void forward(const How *how, const Tensor *x, const Tensor *mean, const Tensor *variance, const Tensor *gamma,
                    const Tensor *beta, Tensor *output) {
  for (size_t g = 0; g < group_count(how); g++)
    for (size_t f = 0; f < how->features; f++) {
      Mixture by = mix(how, x, g, f, mean, variance);
      for (size_t p = 0; p < group_size(how); p++) {
        size_t i = place(how, g, f, p);
        output->data[i] = (gamma ? gamma->data[f] : 1) * ((x->data[i] - by.m) / by.s) + (beta ? beta->data[f] : 0);
      }
    }
}

static void backward(const How *how, const Tensor *x, const Tensor *upstream, const Tensor *mean, const Tensor *variance,
                     const Tensor *gamma, Tensor *dx, Tensor *dgamma, Tensor *dbeta, Tensor *dmean, Tensor *dvariance) {
  double w = how->weight, n = group_size(how);
  for (size_t f = 0; f < how->features; f++) {
    Sum all_a = {0, 0}, all_b = {0, 0}, dmr = {0, 0}, dvr = {0, 0};
    for (size_t g = 0; g < group_count(how); g++) {
      Mixture by = mix(how, x, g, f, mean, variance);
      Sum a = {0, 0}, b = {0, 0};
      for (size_t p = 0; p < group_size(how); p++) {
        size_t i = place(how, g, f, p);
        add(&a, upstream->data[i]);
        add(&b, upstream->data[i] * ((x->data[i] - by.m) / by.s));
      }
      double factor = (gamma ? gamma->data[f] : 1) / by.s;
      for (size_t p = 0; p < group_size(how); p++) {
        size_t i = place(how, g, f, p);
        double through = w == 0 ? 0 : w / n * (a.sum + (x->data[i] - by.m) / by.s * b.sum);
        dx->data[i] = factor * (upstream->data[i] - through);
      }
      double dm = -factor * a.sum, dv = -factor / (2 * by.s) * b.sum;
      add(&all_a, a.sum);
      add(&all_b, b.sum);
      add(&dmr, w == 0 ? dm : (1 - w) * dm - 2 * w * (1 - w) * by.d * dv);
      add(&dvr, (1 - w) * dv);
    }
    dgamma->data[f] = all_b.sum;
    dbeta->data[f] = all_a.sum;
    if (how->attached) {
      dmean->data[f] = dmr.sum;
      dvariance->data[f] = dvr.sum;
    }
  }
}

static void reference_gradient(const How *how, const Tensor *x, const Tensor *mean, const Tensor *dmean,
                               const Tensor *dvariance, Tensor *dx) {
  for (size_t f = 0; f < how->features; f++)
    for (size_t p = 0; p < group_size(how); p++) {
      size_t i = place(how, 0, f, p);
      dx->data[i] = (dmean->data[f] + 2 * (x->data[i] - mean->data[f]) * dvariance->data[f]) / how->elements;
    }
}

/* ---- Messages: 8 bytes of length, a header of JSON, the data of the tensors. ---- */

enum { MOST = 12 };
static Tensor given[MOST], made[MOST];
static int given_count, made_count;
static char header[1 << 16];

static void fail(const char *problem) {
  fprintf(stderr, "c_backend: %s\n", problem);
  exit(1);
}

static void *allocate(size_t bytes) {
  void *memory = malloc(bytes ? bytes : 1);
  if (!memory) fail("no memory; expected enough for the batch");
  return memory;
}

static void read_fully(void *to, size_t bytes) {
  if (fread(to, 1, bytes, stdin) != bytes) fail("standard input ended within a message");
}

static const Tensor *find(const char *name) {
  for (int i = 0; i < given_count; i++)
    if (!strcmp(given[i].name, name)) return &given[i];
  return NULL;
}

/* The value behind "key": in the texts of the header, which hold no quotes. */
static const char *text(const char *key, char *value, size_t most) {
  char wanted[32];
  snprintf(wanted, sizeof wanted, "\"%s\":\"", key);
  const char *at = strstr(header, wanted);
  *value = 0;
  if (at) {
    at += strlen(wanted);
    snprintf(value, most, "%.*s", (int)strcspn(at, "\""), at);
  }
  return value;
}

/* {"name":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}, ...}, as VBN writes it: without spaces, in the order of the data. */
static int read_request(void) {
  uint64_t length;
  size_t got = fread(&length, 1, sizeof length, stdin);
  if (got == 0) return 0;
  if (got < sizeof length || length >= sizeof header) fail("expected the length of a header");
  read_fully(header, length);
  header[length] = 0;
  given_count = 0;
  for (char *at = strstr(header, ":{\"dtype\":\"F"); at; at = strstr(at + 1, ":{\"dtype\":\"F")) {
    if (given_count == MOST) fail("more tensors than expected");
    Tensor *tensor = &given[given_count++];
    char *name = at - 1;
    while (name[-1] != '"') name--;
    snprintf(tensor->name, sizeof tensor->name, "%.*s", (int)(at - 1 - name), name);
    tensor->wide = at[12] == '6';
    tensor->rank = 0;
    tensor->size = 1;
    for (char *shape = strchr(at, '['); *shape != ']' && tensor->rank < 8;) {
      tensor->shape[tensor->rank] = strtoull(shape + 1, &shape, 10);
      tensor->size *= tensor->shape[tensor->rank++];
    }
    tensor->data = allocate(tensor->size * sizeof(double));
    float *narrow = tensor->wide ? NULL : allocate(tensor->size * sizeof(float));
    read_fully(tensor->wide ? (void *)tensor->data : narrow, tensor->size * (tensor->wide ? 8 : 4));
    for (size_t i = 0; narrow && i < tensor->size; i++) tensor->data[i] = narrow[i];
    free(narrow);
  }
  return 1;
}

static Tensor *make(const char *name, int wide, int rank, const size_t *shape) {
  Tensor *tensor = &made[made_count++];
  snprintf(tensor->name, sizeof tensor->name, "%s", name);
  tensor->wide = wide;
  tensor->rank = rank;
  tensor->size = 1;
  for (int i = 0; i < rank; i++) tensor->size *= tensor->shape[i] = shape[i];
  tensor->data = allocate(tensor->size * sizeof(double));
  return tensor;
}

static void write_answer(const char *texts) {
  char out[4096];
  int at = snprintf(out, sizeof out, "{\"__metadata__\":{%s}", texts);
  size_t offset = 0;
  for (int i = 0; i < made_count; i++) {
    size_t bytes = made[i].size * (made[i].wide ? 8 : 4);
    at += snprintf(out + at, sizeof out - at, ",\"%s\":{\"dtype\":\"F%d\",\"shape\":[", made[i].name, made[i].wide ? 64 : 32);
    for (int j = 0; j < made[i].rank; j++) at += snprintf(out + at, sizeof out - at, j ? ",%zu" : "%zu", made[i].shape[j]);
    at += snprintf(out + at, sizeof out - at, "],\"data_offsets\":[%zu,%zu]}", offset, offset + bytes);
    offset += bytes;
  }
  at += snprintf(out + at, sizeof out - at, "}");
  uint64_t length = at;
  fwrite(&length, 1, sizeof length, stdout);
  fwrite(out, 1, length, stdout);
  for (int i = 0; i < made_count; i++) {
    for (size_t j = 0; j < made[i].size; j++) {
      float narrow = made[i].data[j];
      fwrite(made[i].wide ? (void *)&made[i].data[j] : &narrow, made[i].wide ? 8 : 4, 1, stdout);
    }
    free(made[i].data);
  }
  for (int i = 0; i < given_count; i++) free(given[i].data);
  if (fflush(stdout)) fail("standard output is closed");
}

int main(void) {
  while (read_request()) {
    char call[32], op[32], value[64], texts[256];
    text("call", call, sizeof call);
    text("op", op, sizeof op);
    made_count = 0;
    snprintf(texts, sizeof texts, "\"call\":\"%s\"", call);
    const Tensor *x = find("x"), *mean = find("mean"), *variance = find("variance"), *gamma = find("gamma"), *beta = find("beta");
    How how = {0};
    if (x) {
      how.batch = x->shape[0];
      how.before = x->shape[1];
      how.features = x->shape[2];
      how.after = x->shape[3];
    }
    how.by_example = !strcmp(text("scope", value, sizeof value), "example");
    how.attached = !strcmp(text("attached", value, sizeof value), "true");
    how.weight = strtod(text("weight", value, sizeof value), NULL);
    how.epsilon = strtod(text("epsilon", value, sizeof value), NULL);
    how.elements = strtod(text("elements", value, sizeof value), NULL);
    size_t features[] = {how.features}, by_example[] = {how.batch, how.features};
    if (!strcmp(op, "hello")) {
      snprintf(texts, sizeof texts, "\"call\":\"%s\",\"vbn\":\"1\",\"name\":\"%s\",\"capabilities\":\"%s\"", call, NAME, CAPABILITIES);
    } else if (!strcmp(op, "statistics")) {
      int rank = how.by_example ? 2 : 1;
      size_t *shape = how.by_example ? by_example : features;
      Tensor *m = make("mean", 1, rank, shape), *v = make("variance", 1, rank, shape);
      statistics(&how, x, m, v);
    } else if (!strcmp(op, "reference")) {
      Tensor *output = make("output", x->wide, 4, x->shape);
      Tensor *m = make("mean", 1, 1, features), *v = make("variance", 1, 1, features);
      how.weight = 1;
      statistics(&how, x, m, v);
      forward(&how, x, m, v, gamma, beta, output);
    } else if (!strcmp(op, "forward")) {
      forward(&how, x, mean, variance, gamma, beta, make("output", x->wide, 4, x->shape));
    } else if (!strcmp(op, "backward")) {
      Tensor *dx = make("dx", x->wide, 4, x->shape);
      Tensor *dgamma = make("dgamma", x->wide, 1, features), *dbeta = make("dbeta", x->wide, 1, features);
      Tensor *dm = how.attached ? make("dmean", 1, 1, features) : NULL;
      Tensor *dv = how.attached ? make("dvariance", 1, 1, features) : NULL;
      backward(&how, x, find("upstream"), mean, variance, gamma, dx, dgamma, dbeta, dm, dv);
    } else if (!strcmp(op, "reference-gradient")) {
      reference_gradient(&how, x, mean, find("dmean"), find("dvariance"), make("dx", x->wide, 4, x->shape));
    } else {
      snprintf(texts, sizeof texts, "\"call\":\"%s\",\"error\":\"no such operation\"", call);
    }
    write_answer(texts);
  }
  return 0;
}
