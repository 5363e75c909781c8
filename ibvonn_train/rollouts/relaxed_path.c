/* Exponential steps of a law with populations under a given strain, and their adjoint.
 *
 * a_{n+1} = a_n + phi_1(J) r with r = dt adot, J = dt d adot/d a and phi_1(y) = (e^y - 1)/y, which is
 * exact for one variable and the rational function of relaxation.py for more. The steps of eight rows
 * are taken together, all steps of a block before the next block. The adjoint goes back through the
 * stored states and computes each step again. Arrays have the axes (step, row, component).
 */
#include "path_vectors.h"
#include "path_law.h"
#include "path_adjoint.h"

#define POLES 4

/* phi_1(y) and its derivative, for y <= 0. */
static vec relaxed(vec y, vec *slope) {
    vec series = splat(1.0 / 20922789888000.0), derivative = splat(0.0);
    double factorial = 1307674368000.0; /* 15! */
    for (int k = 14; k >= 0; --k) {
        derivative = derivative * y + series;
        series = series * y + 1.0 / factorial;
        factorial /= k + 1;
    }
    const mask small = y > -0.25;
    const vec safe = choose(small, splat(-1.0), y), e = exponential(safe), value = (e - 1.0) / safe;
    *slope = choose(small, derivative, (e - value) / safe);
    return choose(small, series, value);
}

/* Solve (A - y I) x = b for a complex y and b, by elimination; `transposed` takes A^T. */
static void shifted_solve(int n, const vec *A, int transposed, double re, double im, vec *work, vec *x) {
    vec *R = work, *I = work + n * n;
    for (int i = 0; i < n; ++i)
        for (int j = 0; j < n; ++j) {
            R[i * n + j] = (transposed ? A[j * n + i] : A[i * n + j]) - (i == j ? re : 0.0);
            I[i * n + j] = splat(i == j ? -im : 0.0);
        }
    vec *xr = x, *xi = x + n;
    for (int k = 0; k < n; ++k) {
        const vec pr = R[k * n + k], pi = I[k * n + k], size = 1.0 / (pr * pr + pi * pi);
        for (int i = k + 1; i < n; ++i) {
            const vec ar = R[i * n + k], ai = I[i * n + k];
            const vec fr = (ar * pr + ai * pi) * size, fi = (ai * pr - ar * pi) * size;
            for (int j = k + 1; j < n; ++j) {
                R[i * n + j] -= fr * R[k * n + j] - fi * I[k * n + j];
                I[i * n + j] -= fr * I[k * n + j] + fi * R[k * n + j];
            }
            xr[i] -= fr * xr[k] - fi * xi[k];
            xi[i] -= fr * xi[k] + fi * xr[k];
        }
    }
    for (int k = n - 1; k >= 0; --k) {
        for (int j = k + 1; j < n; ++j) {
            xr[k] -= R[k * n + j] * xr[j] - I[k * n + j] * xi[j];
            xi[k] -= R[k * n + j] * xi[j] + I[k * n + j] * xr[j];
        }
        const vec pr = R[k * n + k], pi = I[k * n + k], size = 1.0 / (pr * pr + pi * pi);
        const vec r = xr[k], i = xi[k];
        xr[k] = (r * pr + i * pi) * size, xi[k] = (i * pr - r * pi) * size;
    }
}

/* phi_1(J) r. `poles` are y_k and c_k / y_k as (re, im, re, im); work has 2 n (n + 1) vectors. */
static void increment(int n, const double *poles, const vec *r, const vec *J, vec *work, vec *out) {
    if (n == 1) {
        vec slope, y = choose(J[0] > 0.0, splat(0.0), J[0]);
        out[0] = relaxed(y, &slope) * r[0];
        return;
    }
    for (int i = 0; i < n; ++i) out[i] = splat(0.0);
    vec *x = work + 2 * n * n;
    for (int k = 0; k < POLES; ++k) {
        const double *pole = poles + 4 * k;
        for (int i = 0; i < n; ++i) x[i] = pole[2] * r[i], x[n + i] = pole[3] * r[i];
        shifted_solve(n, J, 0, pole[0], pole[1], work, x);
        for (int i = 0; i < n; ++i) out[i] += 2.0 * x[i];
    }
}

/* From the derivative by the increment: r_bar and J_bar. work has 2 n (n + 2) vectors. */
static void increment_adjoint(int n, const double *poles, const vec *r, const vec *J, const vec *out_bar,
    vec *work, vec *r_bar, vec *J_bar) {
    if (n == 1) {
        vec slope;
        const mask growing = J[0] > 0.0;
        r_bar[0] = out_bar[0] * relaxed(choose(growing, splat(0.0), J[0]), &slope);
        J_bar[0] = choose(growing, splat(0.0), out_bar[0] * r[0] * slope);
        return;
    }
    for (int i = 0; i < n; ++i) r_bar[i] = splat(0.0);
    for (int i = 0; i < n * n; ++i) J_bar[i] = splat(0.0);
    vec *x = work + 2 * n * n, *y = x + 2 * n;
    for (int k = 0; k < POLES; ++k) {
        const double *pole = poles + 4 * k;
        for (int i = 0; i < n; ++i) {
            x[i] = pole[2] * r[i], x[n + i] = pole[3] * r[i];
            y[i] = out_bar[i], y[n + i] = splat(0.0);
        }
        shifted_solve(n, J, 0, pole[0], pole[1], work, x);
        shifted_solve(n, J, 1, pole[0], pole[1], work, y);
        for (int i = 0; i < n; ++i) {
            r_bar[i] += 2.0 * (pole[2] * y[i] - pole[3] * y[n + i]);
            for (int j = 0; j < n; ++j) J_bar[i * n + j] -= 2.0 * (y[i] * x[j] - y[n + i] * x[n + j]);
        }
    }
}

/* Rows beyond the last one repeat it. */
static void load(const double *from, int64_t rows, int64_t first, int count, vec *to) {
    for (int i = 0; i < count; ++i)
        for (int lane = 0; lane < LANES; ++lane) {
            const int64_t row = first + lane < rows ? first + lane : rows - 1;
            to[i][lane] = from[row * count + i];
        }
}

static void store(const vec *from, int64_t rows, int64_t first, int count, double *to) {
    for (int lane = 0; lane < LANES && first + lane < rows; ++lane)
        for (int i = 0; i < count; ++i) to[(first + lane) * count + i] = from[i][lane];
}

/* Vectors that a block of the adjoint lays out; those of the states are some of them. */
static int block_size(const struct law *c) {
    const int n = c->n, d = c->m + n;
    return 4 * d + 14 * n + 11 * n * n + (7 + 2 * n) * (c->width1 + c->width2) + 11 * c->pairs +
           2 * (c->rate1 + c->rate2) + 1;
}

/* Rates at a state of a block, and r and J of its step. */
static void prepare(const struct law *c, const double *const *weights, const double *const *constants,
    vec step, const vec *a, struct point *p, vec *r, vec *J) {
    keep_within(c, constants, a, p);
    relax(c, weights, constants, p);
    for (int i = 0; i < c->n; ++i) r[i] = step * p->rate[i];
    for (int i = 0; i < c->n * c->n; ++i) J[i] = step * p->slope[i];
}

/* States of all steps from those of the first; returns whether there was memory. */
int path_states(const struct law *c, const double *const *weights, const double *const *constants,
    const double *poles, int64_t steps, int64_t rows, const double *strain, const double *dt,
    double *states) {
    const int n = c->n;
    vec *memory = aligned_alloc(sizeof(vec), sizeof(vec) * (size_t)block_size(c)), *next = memory;
    if (!memory) return 0;
    struct point p;
    lay_out(c, &p, &next);
    vec *a = take(&next, n), *r = take(&next, n), *J = take(&next, n * n), *step = take(&next, 1);
    vec *more = take(&next, n), *work = take(&next, 2 * n * (n + 2));
    for (int64_t first = 0; first < rows; first += LANES) {
        load(states, rows, first, n, a);
        for (int64_t t = 0; t < steps; ++t) {
            load(strain + t * rows * c->m, rows, first, c->m, p.z);
            load(dt + t * rows, rows, first, 1, step);
            prepare(c, weights, constants, *step, a, &p, r, J);
            increment(n, poles, r, J, work, more);
            for (int i = 0; i < n; ++i) a[i] += more[i];
            store(a, rows, first, n, states + (t + 1) * rows * n);
        }
    }
    free(memory);
    return 1;
}

/* From the derivatives by all states: those by the first ones, in adjoint[0], and by the weights. */
int path_adjoint(const struct law *c, const double *const *weights, const double *const *constants,
    const double *poles, int64_t steps, int64_t rows, const double *strain, const double *dt,
    const double *states, double *adjoint, double *const *gradients) {
    const int n = c->n;
    size_t count = (size_t)block_size(c);
    for (int k = 0; k < WEIGHTS; ++k) count += (size_t)weight_size(c, k);
    vec *memory = aligned_alloc(sizeof(vec), sizeof(vec) * count), *next = memory;
    if (!memory) return 0;
    struct point p;
    struct space s;
    vec *g[WEIGHTS];
    for (int k = 0; k < WEIGHTS; ++k) {
        g[k] = take(&next, weight_size(c, k));
        memset(g[k], 0, sizeof(vec) * (size_t)weight_size(c, k));
    }
    lay_out(c, &p, &next);
    lay_out_space(c, &s, &next);
    vec *a = take(&next, n), *r = take(&next, n), *J = take(&next, n * n), *step = take(&next, 1);
    vec *a_bar = take(&next, n), *r_bar = take(&next, n), *J_bar = take(&next, n * n);
    vec *own = take(&next, n), *work = take(&next, 2 * n * (n + 2));
    for (int64_t first = 0; first < rows; first += LANES) {
        vec inside = splat(0.0); /* 1 for rows that there are */
        for (int lane = 0; lane < LANES; ++lane) inside[lane] = first + lane < rows;
        load(adjoint + steps * rows * n, rows, first, n, a_bar);
        for (int i = 0; i < n; ++i) a_bar[i] *= inside;
        for (int64_t t = steps - 1; t >= 0; --t) {
            load(strain + t * rows * c->m, rows, first, c->m, p.z);
            load(dt + t * rows, rows, first, 1, step);
            load(states + t * rows * n, rows, first, n, a);
            prepare(c, weights, constants, *step, a, &p, r, J);
            increment_adjoint(n, poles, r, J, a_bar, work, r_bar, J_bar);
            for (int i = 0; i < n; ++i) r_bar[i] *= *step;
            for (int i = 0; i < n * n; ++i) J_bar[i] *= *step;
            relax_adjoint(c, weights, constants, &p, r_bar, J_bar, &s, g, a_bar);
            load(adjoint + t * rows * n, rows, first, n, own);
            for (int i = 0; i < n; ++i) a_bar[i] += inside * own[i];
        }
        store(a_bar, rows, first, n, adjoint);
    }
    for (int k = 0; k < WEIGHTS; ++k)
        for (int i = 0; i < weight_size(c, k); ++i) {
            double sum = 0.0;
            for (int lane = 0; lane < LANES; ++lane) sum += g[k][i][lane];
            gradients[k][i] = sum;
        }
    free(memory);
    return 1;
}
