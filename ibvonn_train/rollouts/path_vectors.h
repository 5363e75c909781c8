/* Vectors over eight points, their elementary functions, and products of matrices with them.
 *
 * Functions are good to a few units in the last place; NaN stays NaN.
 */
#include <stdint.h>
#include <string.h>

#define LANES 8
#define INLINE static inline __attribute__((always_inline))

typedef double vec __attribute__((vector_size(8 * LANES), aligned(8 * LANES)));
typedef int64_t mask __attribute__((vector_size(8 * LANES), aligned(8 * LANES)));

INLINE vec splat(double x) { return (vec){0} + x; }

INLINE vec choose(mask which, vec yes, vec no) {
    return (vec)((which & (mask)yes) | (~which & (mask)no));
}

INLINE vec larger(vec x, vec y) { return choose(x < y, y, x); }

INLINE vec magnitude(vec x) { return choose(x < 0.0, -x, x); }

/* e^x, x being kept within [-708, 709]. With x = n ln 2 + r, |r| <= ln 2 / 2, by Taylor's series. */
INLINE vec exponential(vec x) {
    x = choose(x > 709.0, splat(709.0), choose(x < -708.0, splat(-708.0), x));
    const double shift = 0x1.8p52;
    const vec shifted = x * 0x1.71547652b82fep0 + shift, n = shifted - shift;
    const vec r = (x - n * 0x1.62e42fee00000p-1) - n * 0x1.a39ef35793c76p-33;
    vec p = splat(1.0 / 6227020800.0);
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    const mask power = ((mask)shifted - (mask)splat(shift) + 1023) << 52;
    return p * (vec)power;
}

/* s'(x) = 1/(1 + e^-x). */
INLINE vec sigmoid(vec x) {
    const vec e = exponential(-magnitude(x)), s = 1.0 / (1.0 + e);
    return choose(x < 0.0, e * s, s);
}

/* s(x) = ln(1 + e^x) and s'(x); ln(1 + t) = 2 artanh(t/(2 + t)) by its series. */
INLINE vec softplus(vec x, vec *slope) {
    const vec t = exponential(-magnitude(x)), large = 1.0 / (1.0 + t);
    *slope = choose(x < 0.0, t * large, large);
    const vec s = t / (2.0 + t), square = s * s;
    vec series = splat(1.0 / 35.0);
    for (int k = 16; k >= 0; --k) series = series * square + 1.0 / (2 * k + 1);
    return larger(x, splat(0.0)) + 2.0 * s * series;
}

INLINE vec hyperbolic_tangent(vec x) {
    const vec e = exponential(-2.0 * magnitude(x)), t = (1.0 - e) / (1.0 + e);
    return choose(x < 0.0, -t, t);
}

/* y += W x for W of shape (rows, columns). */
static void add_product(const double *W, int rows, int columns, const vec *x, vec *y) {
    int i = 0;
    for (; i + 8 <= rows; i += 8) {
        const double *w = W + i * columns;
        vec a[8];
        for (int k = 0; k < 8; ++k) a[k] = y[i + k];
        for (int j = 0; j < columns; ++j)
            for (int k = 0; k < 8; ++k) a[k] += w[k * columns + j] * x[j];
        for (int k = 0; k < 8; ++k) y[i + k] = a[k];
    }
    for (; i < rows; ++i)
        for (int j = 0; j < columns; ++j) y[i] += W[i * columns + j] * x[j];
}

/* y = W x + b. */
static void multiply(const double *W, const double *b, int rows, int columns, const vec *x, vec *y) {
    for (int i = 0; i < rows; ++i) y[i] = splat(b[i]);
    add_product(W, rows, columns, x, y);
}

/* y += W^T x for W of shape (rows, columns). */
static void add_transposed(const double *W, int rows, int columns, const vec *x, vec *y) {
    int j = 0;
    for (; j + 8 <= columns; j += 8) {
        vec a[8];
        for (int k = 0; k < 8; ++k) a[k] = y[j + k];
        for (int i = 0; i < rows; ++i)
            for (int k = 0; k < 8; ++k) a[k] += W[i * columns + j + k] * x[i];
        for (int k = 0; k < 8; ++k) y[j + k] = a[k];
    }
    for (; j < columns; ++j)
        for (int i = 0; i < rows; ++i) y[j] += W[i * columns + j] * x[i];
}

/* G += a b^T of every lane, G of shape (rows, columns). */
static void add_outer(vec *G, int rows, int columns, const vec *a, const vec *b) {
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < columns; ++j) G[i * columns + j] += a[i] * b[j];
}

/* The same of n pairs (rows of A and B) and of two more, in one pass over G. */
static void add_outers(vec *G, int rows, int columns, int n, const vec *A, const vec *B,
    const vec *a, const vec *b, const vec *c, const vec *d) {
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < columns; ++j) {
            vec sum = G[i * columns + j] + a[i] * b[j] + c[i] * d[j];
            for (int k = 0; k < n; ++k) sum += A[k * rows + i] * B[k * columns + j];
            G[i * columns + j] = sum;
        }
}
