/* One backward Euler step of a law with convex potentials, at a batch of points.

   Energy f(x) and dual dissipation potential phi(g; x_n), x = (strain, internal), are those of
   "parameters.npz" in CONVENTIONS.md. Solved per point:

       r(a) = a - a_n - dt phi'(-f_a(e, a); e_n, a_n) = 0,   J = dr/da = I + dt phi'' f_aa.

   C99 and libm only, float64, no allocation, no globals, no files: weights and sizes are data, the
   caller owns every array, so any number of threads may call with workspaces of their own. Points
   are taken in blocks of LAW_LANES, which law_math.h maps to vector registers. */
#include "law_math.h"

#ifndef LAW_API
#define LAW_API
#endif
#define LAW_MAX_LAYERS 8
#define LAW_MAX_WIDTH 1024
#define LAW_MAX_STATE 64
#define LAW_ITERATIONS 100

enum {
    LAW_OK = 0,
    LAW_NULL = -1,
    LAW_SIZES = -2,
    LAW_WEIGHTS = -3,
    LAW_POINTS = -4,
    LAW_WORKSPACE = -5
};

/* Where the pieces of one law lie in the array of weights. */
typedef struct {
    int n_strain, n_internal, n_layers, n_context, n_ridge;
    int width[LAW_MAX_LAYERS], context_width[LAW_MAX_LAYERS];
    double constant;
    const double *linear, *quadratic, *output, *ridge_weight, *ridge_bias, *scale, *envelope;
    const double *skip[LAW_MAX_LAYERS], *bias[LAW_MAX_LAYERS], *hidden[LAW_MAX_LAYERS];
    const double *context_weight[LAW_MAX_LAYERS], *context_bias[LAW_MAX_LAYERS];
} law;

/* Arrays of one block. r: number of right-hand sides, 1 + d. */
typedef struct {
    vec *old, *x, *base, *delta, *step;                /* states and Newton corrections */
    vec *z[LAW_MAX_LAYERS], *sig[LAW_MAX_LAYERS], *com[LAW_MAX_LAYERS];
    vec *in, *bar, *gradient, *hessian;                /* energy network */
    vec *context_a, *context_b, *mobility, *amplitude; /* frozen at the start of the step */
    vec *rate, *curvature, *residual, *force;          /* dissipation at g */
    vec *chol, *inner, *solve, *gain, *product;        /* local linear algebra */
} work;

static const double *take_weights(const double **cursor, int64_t count)
{
    const double *start = *cursor;
    *cursor += count;
    return start;
}

/* Read the sizes; `weights` may be null to count only. Returns the number of weights, or < 0. */
static int64_t bind(law *m, const int64_t *sizes, int64_t n_sizes, const double *weights)
{
    if (n_sizes < 5) return LAW_SIZES;
    const int64_t limit[5] = {LAW_MAX_STATE, LAW_MAX_STATE, LAW_MAX_LAYERS, LAW_MAX_LAYERS,
                              LAW_MAX_WIDTH};
    for (int i = 0; i < 5; i++) {
        const int64_t least = (i == 2 || i == 4) ? 0 : 1;
        if (sizes[i] < least || sizes[i] > limit[i]) return LAW_SIZES;
    }
    if (n_sizes != 5 + sizes[2] + sizes[3] - 1) return LAW_SIZES;
    for (int64_t i = 5; i < n_sizes; i++)
        if (sizes[i] < 1 || sizes[i] > LAW_MAX_WIDTH) return LAW_SIZES;

    static const double origin = 0.0;
    const double *cursor = weights ? weights : &origin;
    int64_t count = 0;
    memset(m, 0, sizeof *m);
    m->n_strain = (int)sizes[0];
    m->n_internal = (int)sizes[1];
    m->n_layers = (int)sizes[2];
    m->n_context = (int)sizes[3];
    m->n_ridge = (int)sizes[4];
    const int64_t d = sizes[0] + sizes[1], n = sizes[1], k = sizes[4];
#define TAKE(place, number)                                                                        \
    do {                                                                                           \
        const int64_t number_ = (number);                                                          \
        if (weights) (place) = take_weights(&cursor, number_);                                     \
        count += number_;                                                                          \
    } while (0)
    const double *constant = &origin;
    TAKE(constant, 1);
    m->constant = *constant;
    TAKE(m->linear, d);
    TAKE(m->quadratic, d * d);
    for (int l = 0; l < m->n_layers; l++) {
        m->width[l] = (int)sizes[5 + l];
        TAKE(m->skip[l], m->width[l] * d);
        TAKE(m->bias[l], m->width[l]);
        if (l > 0) TAKE(m->hidden[l], (int64_t)m->width[l] * m->width[l - 1]);
    }
    TAKE(m->output, m->n_layers ? m->width[m->n_layers - 1] : 0);
    TAKE(m->ridge_weight, k * n);
    TAKE(m->ridge_bias, k);
    int64_t columns = d;
    for (int l = 0; l < m->n_context; l++) {
        const int last = l == m->n_context - 1;
        const int64_t rows = last ? n * (n + 1) / 2 + k : sizes[5 + m->n_layers + l];
        m->context_width[l] = (int)rows;
        TAKE(m->context_weight[l], rows * columns);
        TAKE(m->context_bias[l], rows);
        columns = rows;
    }
    TAKE(m->scale, n);
    TAKE(m->envelope, 2 * d);
#undef TAKE
    return count;
}

/* Lay the arrays of a block over `base`; with base null, only count. Returns the number of vec. */
static int64_t lay_out(work *w, const law *m, vec *base)
{
    const int64_t e = m->n_strain, n = m->n_internal, d = e + n, r = 1 + d, k = m->n_ridge;
    int64_t widest = 1, widest_context = d, used = 0;
    for (int l = 0; l < m->n_layers; l++) widest = m->width[l] > widest ? m->width[l] : widest;
    for (int l = 0; l < m->n_context; l++)
        widest_context = m->context_width[l] > widest_context ? m->context_width[l] : widest_context;
#define TAKE(place, number)                                                                        \
    do {                                                                                           \
        if (base) (place) = base + used;                                                           \
        used += (number);                                                                          \
    } while (0)
    TAKE(w->old, d);
    TAKE(w->x, d);
    TAKE(w->base, n);
    TAKE(w->delta, n);
    TAKE(w->step, n);
    for (int l = 0; l < m->n_layers; l++) {
        TAKE(w->z[l], m->width[l] * r);
        TAKE(w->sig[l], m->width[l]);
        TAKE(w->com[l], m->width[l]);
    }
    TAKE(w->in, widest * r);
    TAKE(w->bar, widest);
    TAKE(w->gradient, d);
    TAKE(w->hessian, d * d);
    TAKE(w->context_a, widest_context);
    TAKE(w->context_b, widest_context);
    TAKE(w->mobility, n * n);
    TAKE(w->amplitude, 3 * k + 1);
    TAKE(w->rate, n);
    TAKE(w->curvature, n * n);
    TAKE(w->residual, n);
    TAKE(w->force, n);
    TAKE(w->chol, n * n);
    TAKE(w->inner, n * n);
    TAKE(w->solve, n * n);
    TAKE(w->gain, n * n);
    TAKE(w->product, d * n);
#undef TAKE
    return used;
}

/* ---- matrix products: scalars times vec ---------------------------------------------------- */

/* out[i][c] += sum_j w[i][j] in[j][c] for `rows` rows and `nc` of r columns, both known. */
LAW_INLINE void multiply_tile(int rows, int nc, int cols, const double *w, const vec *in, vec *out,
                              int r)
{
    vec sum[4][4];
    LAW_UNROLL for (int i = 0; i < rows; i++)
        LAW_UNROLL for (int c = 0; c < nc; c++) sum[i][c] = out[i * r + c];
    for (int j = 0; j < cols; j++) {
        LAW_UNROLL for (int i = 0; i < rows; i++) {
            const double weight = w[i * cols + j];
            LAW_UNROLL for (int c = 0; c < nc; c++) sum[i][c] += weight * in[j * r + c];
        }
    }
    LAW_UNROLL for (int i = 0; i < rows; i++)
        LAW_UNROLL for (int c = 0; c < nc; c++) out[i * r + c] = sum[i][c];
}

LAW_INLINE void multiply_columns(int nc, int rows, int cols, const double *w, const vec *in,
                                 vec *out, int r)
{
    int i = 0;
    for (; i + 4 <= rows; i += 4) multiply_tile(4, nc, cols, w + i * cols, in, out + i * r, r);
    for (; i < rows; i++) multiply_tile(1, nc, cols, w + i * cols, in, out + i * r, r);
}

LAW_INLINE void multiply(int rows, int cols, const double *w, const vec *in, vec *out, int r)
{
    int c = 0;
    for (; c + 3 < r; c += 3) multiply_columns(3, rows, cols, w, in + c, out + c, r);
    if (r - c == 3) multiply_columns(3, rows, cols, w, in + c, out + c, r);
    if (r - c == 2) multiply_columns(2, rows, cols, w, in + c, out + c, r);
    if (r - c == 1) multiply_columns(1, rows, cols, w, in + c, out + c, r);
}

/* out[j] = sum_i w[i][j] in[i]. */
LAW_INLINE void multiply_transposed(int rows, int cols, const double *w, const vec *in, vec *out)
{
    int j = 0;
    for (; j + 4 <= cols; j += 4) {
        vec sum[4] = {splat(0.0), splat(0.0), splat(0.0), splat(0.0)};
        for (int i = 0; i < rows; i++)
            LAW_UNROLL for (int c = 0; c < 4; c++) sum[c] += w[i * cols + j + c] * in[i];
        LAW_UNROLL for (int c = 0; c < 4; c++) out[j + c] = sum[c];
    }
    for (; j < cols; j++) {
        vec sum = splat(0.0);
        for (int i = 0; i < rows; i++) sum += w[i * cols + j] * in[i];
        out[j] = sum;
    }
}

/* ---- potentials ---------------------------------------------------------------------------- */

/* f(x), and its gradient and Hessian in the components first .. d-1: gradient[c], hessian[c * nc
   + b] with nc = d - first. Tangents T = dz/dx run forward, the adjoint of h backward:
   Hessian = Q + sum over layers of T' diag(bar s'') T. The value is right only if asked for. */
LAW_INLINE vec energy(const law *m, const work *w, int d, int first, int want_value)
{
    const int nc = d - first, r = 1 + nc;
    const vec *x = w->x;
    vec value = splat(m->constant);
    for (int c = 0; c < nc; c++) {
        vec sum = splat(m->linear[first + c]);
        for (int b = 0; b < d; b++) sum += m->quadratic[(first + c) * d + b] * x[b];
        w->gradient[c] = sum;
        for (int b = 0; b < nc; b++)
            w->hessian[c * nc + b] = splat(m->quadratic[(first + c) * d + first + b]);
    }
    if (want_value)
        for (int c = 0; c < d; c++) {
            vec sum = splat(0.0);
            for (int b = 0; b < d; b++) sum += m->quadratic[c * d + b] * x[b];
            value += x[c] * (m->linear[c] + 0.5 * sum);
        }
    for (int l = 0; l < m->n_layers; l++) {
        const int n = m->width[l], last = l == m->n_layers - 1;
        vec *z = w->z[l];
        for (int i = 0; i < n; i++) {
            const double *skip = m->skip[l] + i * d;
            vec sum = splat(m->bias[l][i]);
            for (int b = 0; b < d; b++) sum += skip[b] * x[b];
            z[i * r] = sum;
            for (int c = 0; c < nc; c++) z[i * r + 1 + c] = splat(skip[first + c]);
        }
        if (l > 0) multiply(n, m->width[l - 1], m->hidden[l], w->in, z, r);
        if (!last || want_value) {
            for (int i = 0; i < n; i++) {
                vec s, complement;
                const vec h = softplus(z[i * r], &s, &complement);
                w->sig[l][i] = s;
                w->com[l][i] = complement;
                w->in[i * r] = h;
                for (int c = 1; c < r; c++) w->in[i * r + c] = s * z[i * r + c];
            }
        } else {
            for (int i = 0; i < n; i++) sigmoid(z[i * r], &w->sig[l][i], &w->com[l][i]);
        }
        if (last && want_value)
            for (int i = 0; i < n; i++) value += m->output[i] * w->in[i * r];
    }
    for (int l = m->n_layers - 1; l >= 0 && nc > 0; l--) {
        const int n = m->width[l], last = l == m->n_layers - 1;
        const vec *z = w->z[l];
        for (int i = 0; i < n; i++) {
            const double *skip = m->skip[l] + i * d + first;
            const vec a = (last ? splat(m->output[i]) : w->bar[i]) * w->sig[l][i];
            const vec b = a * w->com[l][i];
            w->sig[l][i] = a;
            for (int c = 0; c < nc; c++) {
                w->gradient[c] += skip[c] * a;
                const vec t = b * z[i * r + 1 + c];
                for (int k = 0; k <= c; k++) w->hessian[c * nc + k] += t * z[i * r + 1 + k];
            }
        }
        if (l > 0) multiply_transposed(n, m->width[l - 1], m->hidden[l], w->sig[l], w->bar);
    }
    for (int c = 0; c < nc; c++)
        for (int k = 0; k < c; k++) w->hessian[k * nc + c] = w->hessian[c * nc + k];
    return value;
}

/* Mobility Lambda Lambda' and ridge amplitudes at the start of the step, with the ridges' own
   constants: amplitude[j], sigmoid(b_j), softplus(b_j). */
LAW_INLINE void context(const law *m, const work *w, int d, int n)
{
    vec *in = w->context_a, *out = w->context_b;
    for (int b = 0; b < d; b++) in[b] = w->old[b];
    int columns = d;
    for (int l = 0; l < m->n_context; l++) {
        const int rows = m->context_width[l];
        for (int i = 0; i < rows; i++) out[i] = splat(m->context_bias[l][i]);
        multiply_columns(1, rows, columns, m->context_weight[l], in, out, 1);
        if (l < m->n_context - 1)
            for (int i = 0; i < rows; i++) out[i] = tangent_hyperbolic(out[i]);
        vec *swap = in;
        in = out;
        out = swap;
        columns = rows;
    }
    const int triangle = n * (n + 1) / 2, k = m->n_ridge;
    for (int i = 0; i < n; i++) in[i * (i + 1) / 2 + i] = exponential(in[i * (i + 1) / 2 + i]);
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++) {
            vec sum = splat(0.0);
            for (int c = 0; c <= j; c++) sum += in[i * (i + 1) / 2 + c] * in[j * (j + 1) / 2 + c];
            w->mobility[i * n + j] = w->mobility[j * n + i] = sum;
        }
    for (int j = 0; j < k; j++) {
        vec complement;
        w->amplitude[j] = exponential(in[triangle + j]);
        w->amplitude[2 * k + j] = softplus(splat(m->ridge_bias[j]), &w->amplitude[k + j], &complement);
    }
}

/* phi'(g) into rate, phi''(g) into curvature. */
LAW_INLINE void dissipation(const law *m, const work *w, int n)
{
    const vec *g = w->force;
    for (int i = 0; i < n; i++) {
        vec sum = splat(0.0);
        for (int j = 0; j < n; j++) {
            sum += w->mobility[i * n + j] * g[j];
            w->curvature[i * n + j] = w->mobility[i * n + j];
        }
        w->rate[i] = sum;
    }
    for (int k = 0; k < m->n_ridge; k++) {
        const double *ridge = m->ridge_weight + k * n;
        vec u = splat(m->ridge_bias[k]), s, complement;
        for (int i = 0; i < n; i++) u += ridge[i] * g[i];
        sigmoid(u, &s, &complement);
        const vec a = w->amplitude[k], slope = a * (s - w->amplitude[m->n_ridge + k]);
        const vec bend = a * (s * complement);
        for (int i = 0; i < n; i++) {
            w->rate[i] += ridge[i] * slope;
            for (int j = 0; j <= i; j++) w->curvature[i * n + j] += (ridge[i] * ridge[j]) * bend;
        }
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++) w->curvature[j * n + i] = w->curvature[i * n + j];
}

/* phi(g). */
LAW_INLINE vec dissipation_value(const law *m, const work *w, int n, const vec *g)
{
    vec value = splat(0.0);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) value += 0.5 * g[i] * w->mobility[i * n + j] * g[j];
    const int count = m->n_ridge;
    for (int k = 0; k < count; k++) {
        vec u = splat(0.0), s, complement;
        for (int i = 0; i < n; i++) u += m->ridge_weight[k * n + i] * g[i];
        const vec plus = softplus(u + m->ridge_bias[k], &s, &complement);
        value += w->amplitude[k] * ((plus - w->amplitude[2 * count + k]) - w->amplitude[count + k] * u);
    }
    return value;
}

/* ---- the local problem --------------------------------------------------------------------- */

/* Gain K = dt phi''(I + dt f_aa phi'')^-1 = dt L (I + dt L' F L)^-1 L' with phi'' = L L'. The
   bracket has eigenvalues >= 1, so its Cholesky factor needs no pivoting; a pivot of phi'' lost to
   round-off switches its direction off. `f`: f_aa with row stride `ld`. */
LAW_INLINE void solve_gain(const work *w, int n, const vec *f, int ld, vec dt)
{
    vec *l = w->chol, *b = w->inner, *s = w->solve;
    if (n == 1) {
        const vec p = dt * w->curvature[0];
        w->gain[0] = p / (1.0 + p * f[0]);
        return;
    }
    for (int j = 0; j < n; j++) {
        vec pivot = w->curvature[j * n + j];
        for (int k = 0; k < j; k++) pivot -= l[j * n + k] * l[j * n + k];
        const mask positive = less(splat(0.0), pivot);
        pivot = root(choose(positive, pivot, splat(0.0)));
        const vec inverse = choose(positive, 1.0 / pivot, splat(0.0));
        l[j * n + j] = pivot;
        for (int i = j + 1; i < n; i++) {
            vec sum = w->curvature[i * n + j];
            for (int k = 0; k < j; k++) sum -= l[i * n + k] * l[j * n + k];
            l[i * n + j] = sum * inverse;
        }
    }
    for (int i = 0; i < n; i++) /* s = F L */
        for (int j = 0; j < n; j++) {
            vec sum = splat(0.0);
            for (int k = j; k < n; k++) sum += f[i * ld + k] * l[k * n + j];
            s[i * n + j] = sum;
        }
    for (int i = 0; i < n; i++) /* b = I + dt L' s, lower triangle */
        for (int j = 0; j <= i; j++) {
            vec sum = splat(0.0);
            for (int k = i; k < n; k++) sum += l[k * n + i] * s[k * n + j];
            b[i * n + j] = dt * sum + (i == j ? 1.0 : 0.0);
        }
    for (int j = 0; j < n; j++) { /* b = R R', in place; the diagonal holds 1 / R_jj */
        vec pivot = b[j * n + j];
        for (int k = 0; k < j; k++) pivot -= b[j * n + k] * b[j * n + k];
        const vec inverse = 1.0 / root(larger(pivot, splat(1.0)));
        b[j * n + j] = inverse;
        for (int i = j + 1; i < n; i++) {
            vec sum = b[i * n + j];
            for (int k = 0; k < j; k++) sum -= b[i * n + k] * b[j * n + k];
            b[i * n + j] = sum * inverse;
        }
    }
    for (int c = 0; c < n; c++) /* s = R^-1 L' */
        for (int i = 0; i < n; i++) {
            vec sum = i <= c ? l[c * n + i] : splat(0.0);
            for (int k = 0; k < i; k++) sum -= b[i * n + k] * s[k * n + c];
            s[i * n + c] = sum * b[i * n + i];
        }
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++) {
            vec sum = splat(0.0);
            for (int k = 0; k < n; k++) sum += s[k * n + i] * s[k * n + j];
            w->gain[i * n + j] = w->gain[j * n + i] = dt * sum;
        }
}

/* r, K and the Newton correction delta = -(I - K F) r at the state x; returns max |r_i| / scale_i
   and, in `stiffness`, max_i sum_j |dt phi'' F|_ij scale_j / scale_i. */
LAW_INLINE vec newton(const law *m, const work *w, int ne, int n, const vec *f, int ld, vec dt,
                      vec *stiffness)
{
    const double *scale = m->scale;
    vec size = splat(0.0);
    *stiffness = splat(0.0);
    dissipation(m, w, n);
    solve_gain(w, n, f, ld, dt);
    for (int i = 0; i < n; i++) {
        const vec r = (w->x[ne + i] - w->old[ne + i]) - dt * w->rate[i];
        w->residual[i] = r;
        size = larger(magnitude(r) * (1.0 / scale[i]), size);
        vec row = splat(0.0);
        for (int j = 0; j < n; j++) {
            vec sum = splat(0.0);
            for (int k = 0; k < n; k++) sum += w->curvature[i * n + k] * f[k * ld + j];
            row += magnitude(dt * sum) * (scale[j] / scale[i]);
        }
        *stiffness = larger(row, *stiffness);
    }
    if (n == 1) {
        w->delta[0] = -w->residual[0] / (1.0 + dt * w->curvature[0] * f[0]);
        return size;
    }
    for (int i = 0; i < n; i++) {
        vec sum = splat(0.0);
        for (int k = 0; k < n; k++) sum += f[i * ld + k] * w->residual[k];
        w->product[i] = sum;
    }
    for (int i = 0; i < n; i++) {
        vec sum = w->residual[i];
        for (int k = 0; k < n; k++) sum -= w->gain[i * n + k] * w->product[k];
        w->delta[i] = -sum;
    }
    return size;
}

typedef struct {
    const double *strain, *strain_old, *statev, *dt, *guess;
    int64_t dt_stride;
    double *stress, *statev_new, *tangent, *energy, *dissipation, *residual, *validity;
} arguments;

LAW_INLINE vec gather(const double *from, int64_t begin, int count, int64_t stride, int component)
{
    vec v = splat(0.0);
    for (int i = 0; i < LAW_LANES; i++)
        LANE(v, i) = from[(begin + (i < count ? i : count - 1)) * stride + component];
    return v;
}

LAW_INLINE void scatter(double *to, int64_t begin, int count, int64_t stride, int component, vec v)
{
    for (int i = 0; i < count; i++) to[(begin + i) * stride + component] = LANE(v, i);
}

/* Largest excursion of x from the box of the training data, in half widths; 0 inside. */
LAW_INLINE vec excursion(const law *m, const work *w, int d)
{
    vec worst = splat(0.0);
    for (int c = 0; c < d; c++) {
        const double low = m->envelope[2 * c], high = m->envelope[2 * c + 1];
        const double half = fmax(0.5 * (high - low), 2.2250738585072014e-308);
        worst = larger(worst, larger(low - w->x[c], w->x[c] - high) / half);
    }
    return worst;
}

/* NaN at points whose input was refused; +inf for what overflowed elsewhere. */
LAW_INLINE void put(double *to, int64_t begin, int count, int64_t stride, int component, vec v,
                    mask valid, mask *overflow)
{
    const mask good = is_finite(v);
    *overflow |= ~good;
    v = choose(good, v, splat(HUGE_VAL));
    scatter(to, begin, count, stride, component, choose(valid, v, splat(NAN)));
}

/* Outputs at the state x of the last evaluation (all first and second derivatives in gradient and
   hessian), moved by the last Newton correction to first order. */
LAW_INLINE void finish_block(const law *m, const work *w, int ne, int n, const arguments *io,
                             int64_t begin, int count, mask valid, vec f_start, vec f, vec size,
                             vec stiffness, vec dt)
{
    const int d = ne + n;
    const vec *h = w->hessian;
    mask small = valid, overflow = less(splat(0.0), splat(0.0));
    for (int i = 0; i < n; i++)
        small &= at_most(magnitude(w->delta[i]), 1e-6 * (m->scale[i] + magnitude(w->x[ne + i])));
    vec released = splat(0.0);
    for (int i = 0; i < n; i++) {
        w->delta[i] = choose(small, w->delta[i], splat(0.0));
        w->x[ne + i] += w->delta[i];
        f -= w->force[i] * w->delta[i];
    }
    for (int i = 0; i < n; i++) {
        vec g = w->force[i];
        for (int k = 0; k < n; k++) g -= h[(ne + i) * d + ne + k] * w->delta[k];
        w->step[i] = g;
        released += g * (w->x[ne + i] - w->old[ne + i]);
        put(io->statev_new, begin, count, n, i, w->x[ne + i], valid, &overflow);
    }
    for (int c = 0; c < ne; c++) {
        vec stress = w->gradient[c];
        for (int i = 0; i < n; i++) {
            stress += h[c * d + ne + i] * w->delta[i];
            vec sum = splat(0.0);
            for (int k = 0; k < n; k++) sum += w->gain[i * n + k] * h[c * d + ne + k];
            w->product[c * n + i] = sum;
        }
        put(io->stress, begin, count, ne, c, stress, valid, &overflow);
        for (int b = 0; b <= c; b++) {
            vec tangent = h[c * d + b];
            for (int i = 0; i < n; i++) tangent -= w->product[c * n + i] * h[b * d + ne + i];
            put(io->tangent, begin, count, ne * ne, c * ne + b, tangent, valid, &overflow);
            if (b < c) put(io->tangent, begin, count, ne * ne, b * ne + c, tangent, valid, &overflow);
        }
    }
    put(io->energy, begin, count, 1, 0, f, valid, &overflow);
    put(io->dissipation, begin, count, 1, 0, released, valid, &overflow);
    put(io->validity, begin, count, 1, 0, excursion(m, w, d), valid, &overflow);

    const vec bound = f + released - dt * dissipation_value(m, w, n, w->step);
    const vec slack = 1e-9 * (magnitude(f) + magnitude(f_start) + magnitude(released)
                              + splat(fabs(m->constant)));
    const mask stable = at_most(bound, f_start + slack) & ~overflow;
    const vec backward = choose(stable, size / (1.0 + stiffness), splat(HUGE_VAL));
    put(io->residual, begin, count, 1, 0, backward, valid, &overflow);
}

/* The step at the points begin .. begin + count - 1; ne and n are m's sizes (constants where the
   caller knows them, so that the compiler unrolls).

   First Newton corrections with f_aa alone, backtracking on max |r_i| / scale_i, until they fall
   below 1e-6; then evaluations of everything until they fall below 1e-12, the last one (the
   polishing step) being applied to first order. Every decision is a lane's own. */
LAW_INLINE void update_block(const law *m, const work *w, int ne, int n, const arguments *io,
                             int64_t begin, int count)
{
    const int d = ne + n;
    const vec infinity = splat(HUGE_VAL), zero = splat(0.0);
    const vec dt = gather(io->dt, begin, count, io->dt_stride, 0);
    vec f_start = zero;
    mask valid = is_finite(dt) & at_most(zero, dt);
    for (int c = 0; c < ne; c++) {
        w->old[c] = gather(io->strain_old, begin, count, ne, c);
        w->x[c] = gather(io->strain, begin, count, ne, c);
        valid &= is_finite(w->old[c]) & is_finite(w->x[c]);
    }
    for (int i = 0; i < n; i++) {
        w->old[ne + i] = w->x[ne + i] = w->base[i] = gather(io->statev, begin, count, n, i);
        valid &= is_finite(w->old[ne + i]);
        w->step[i] = zero;
    }
    context(m, w, d, n);
    if (io->guess) {
        f_start = energy(m, w, d, d, 1);
        for (int i = 0; i < n; i++) {
            const vec guess = gather(io->guess, begin, count, n, i);
            w->x[ne + i] = choose(is_finite(guess), guess, w->x[ne + i]);
            w->step[i] = w->x[ne + i] - w->base[i];
        }
    }

    mask todo = valid;
    vec best = infinity, fraction = splat(1.0), stiffness;
    int iteration = 0;
    for (; iteration < LAW_ITERATIONS && any(todo); iteration++) {
        const int start = iteration == 0 && !io->guess;
        const vec value = energy(m, w, d, ne, start);
        if (start) f_start = value;
        for (int i = 0; i < n; i++) w->force[i] = -w->gradient[i];
        const vec size = newton(m, w, ne, n, w->hessian, n, dt, &stiffness);
        const mask better = at_most(size, (1.0 - 1e-4 * fraction) * best)
                            | at_most(size, 1e-13 * (1.0 + stiffness));
        const mask accept = todo & better & is_finite(size);
        const mask reject = todo & ~accept;
        mask small = accept;
        fraction = choose(accept, splat(1.0), 0.5 * fraction);
        best = choose(accept, size, best);
        for (int i = 0; i < n; i++) {
            vec *x = &w->x[ne + i];
            w->base[i] = choose(accept, *x, w->base[i]);
            w->step[i] = choose(accept, w->delta[i], w->step[i]);
            small &= at_most(magnitude(w->delta[i]), 1e-6 * (m->scale[i] + magnitude(*x)));
            *x = choose(todo, w->base[i] + fraction * w->step[i], *x);
        }
        todo &= ~small & ~(reject & less(fraction, splat(1e-12)));
    }

    vec f, size;
    vec previous = infinity;
    todo = valid;
    for (;; iteration++) {
        f = energy(m, w, d, 0, 1);
        for (int i = 0; i < n; i++) w->force[i] = -w->gradient[ne + i];
        size = newton(m, w, ne, n, w->hessian + ne * d + ne, d, dt, &stiffness);
        vec largest = zero;
        for (int i = 0; i < n; i++)
            largest = larger(magnitude(w->delta[i]) / (m->scale[i] + magnitude(w->x[ne + i])), largest);
        const mask done = at_most(largest, splat(1e-12)) | ~less(largest, 0.5 * previous);
        todo &= ~done;
        previous = choose(todo, largest, infinity);
        if (!any(todo) || iteration >= LAW_ITERATIONS) break;
        for (int i = 0; i < n; i++) w->x[ne + i] += choose(todo, w->delta[i], zero);
    }
    finish_block(m, w, ne, n, io, begin, count, valid, f_start, f, size, stiffness, dt);
}

/* ---- entry points -------------------------------------------------------------------------- */

/* Sizes: n_strain, n_internal, L, M, K, then the L widths of f and the M - 1 hidden widths of the
   context network. Weights: energy_constant, _linear, _quadratic, then per layer energy_skip,
   _bias and (from the second) _hidden, then energy_output, ridge_weight, ridge_bias, then per layer
   context_weight and context_bias, then internal_scale and envelope; matrices row by row. */

/* Number of weights that the sizes ask for, or a negative code. */
LAW_API int64_t ibvonn_weight_count(const int64_t *sizes, int64_t n_sizes)
{
    law m;
    return sizes ? bind(&m, sizes, n_sizes, NULL) : LAW_NULL;
}

/* Number of doubles in the workspace of one thread, or a negative code. */
LAW_API int64_t ibvonn_workspace(const int64_t *sizes, int64_t n_sizes)
{
    law m;
    work w;
    if (!sizes) return LAW_NULL;
    const int64_t count = bind(&m, sizes, n_sizes, NULL);
    return count < 0 ? count : (lay_out(&w, &m, NULL) + 1) * LAW_LANES;
}

/* Bind law and workspace; the workspace is aligned here, one vec of it is slack. */
static int prepare(law *m, work *w, const int64_t *sizes, int64_t n_sizes, const double *weights,
                   int64_t n_weights, double *workspace, int64_t n_workspace)
{
    if (!sizes || !weights || !workspace) return LAW_NULL;
    const int64_t count = bind(m, sizes, n_sizes, weights);
    if (count < 0) return (int)count;
    if (count != n_weights) return LAW_WEIGHTS;
    if ((lay_out(w, m, NULL) + 1) * LAW_LANES > n_workspace) return LAW_WORKSPACE;
    const uintptr_t size = sizeof(vec), address = (uintptr_t)workspace;
    lay_out(w, m, (vec *)(void *)(workspace + (size - address % size) % size / sizeof(double)));
    return LAW_OK;
}

static void update_blocks(const law *m, const work *w, const arguments *io, int64_t n_points)
{
    const int kind = m->n_strain == 1 ? m->n_internal : 0;
    for (int64_t begin = 0; begin < n_points; begin += LAW_LANES) {
        const int count = (int)(n_points - begin < LAW_LANES ? n_points - begin : LAW_LANES);
        if (kind == 1)
            update_block(m, w, 1, 1, io, begin, count);
        else if (kind == 2)
            update_block(m, w, 1, 2, io, begin, count);
        else
            update_block(m, w, m->n_strain, m->n_internal, io, begin, count);
    }
}

/* One step at n_points points. Arrays are row-major with points first; dt has one entry (dt_stride
   0) or one per point (1); guess, the first iterate of statev_new, may be null. Outputs must not
   overlap inputs. Returns LAW_OK, or a negative code with nothing written. */
LAW_API int ibvonn_update(const int64_t *sizes, int64_t n_sizes, const double *weights,
                          int64_t n_weights, double *workspace, int64_t n_workspace,
                          int64_t n_points, const double *strain, const double *strain_old,
                          const double *statev, const double *dt, int64_t dt_stride,
                          const double *guess, double *stress, double *statev_new, double *tangent,
                          double *energy_out, double *dissipation_out, double *residual,
                          double *validity)
{
    law m;
    work w;
    const int code = prepare(&m, &w, sizes, n_sizes, weights, n_weights, workspace, n_workspace);
    if (code != LAW_OK) return code;
    if (n_points < 0 || dt_stride < 0 || dt_stride > 1) return LAW_POINTS;
    if (n_points == 0) return LAW_OK;
    if (!strain || !strain_old || !statev || !dt || !stress || !statev_new || !tangent || !energy_out
        || !dissipation_out || !residual || !validity)
        return LAW_NULL;
    const arguments io = {strain, strain_old, statev, dt, guess, dt_stride, stress, statev_new,
                          tangent, energy_out, dissipation_out, residual, validity};
    update_blocks(&m, &w, &io, n_points);
    return LAW_OK;
}

/* The law in continuous time: energy, stress, driving force -f_a and rate phi'(-f_a; strain, statev);
   NaN where an input is not finite. */
LAW_API int ibvonn_rates(const int64_t *sizes, int64_t n_sizes, const double *weights,
                         int64_t n_weights, double *workspace, int64_t n_workspace,
                         int64_t n_points, const double *strain, const double *statev,
                         double *energy_out, double *stress, double *driving_force, double *rate)
{
    law m;
    work w;
    const int code = prepare(&m, &w, sizes, n_sizes, weights, n_weights, workspace, n_workspace);
    if (code != LAW_OK) return code;
    if (n_points < 0) return LAW_POINTS;
    if (n_points == 0) return LAW_OK;
    if (!strain || !statev || !energy_out || !stress || !driving_force || !rate) return LAW_NULL;
    const int ne = m.n_strain, n = m.n_internal, d = ne + n;
    for (int64_t begin = 0; begin < n_points; begin += LAW_LANES) {
        const int count = (int)(n_points - begin < LAW_LANES ? n_points - begin : LAW_LANES);
        mask valid = at_most(splat(0.0), splat(0.0));
        for (int c = 0; c < d; c++) {
            w.old[c] = w.x[c] = c < ne ? gather(strain, begin, count, ne, c)
                                       : gather(statev, begin, count, n, c - ne);
            valid &= is_finite(w.x[c]);
        }
        context(&m, &w, d, n);
        const vec f = energy(&m, &w, d, 0, 1), nan = splat(NAN);
        for (int i = 0; i < n; i++) w.force[i] = -w.gradient[ne + i];
        dissipation(&m, &w, n);
        scatter(energy_out, begin, count, 1, 0, choose(valid, f, nan));
        for (int c = 0; c < ne; c++)
            scatter(stress, begin, count, ne, c, choose(valid, w.gradient[c], nan));
        for (int i = 0; i < n; i++) {
            scatter(driving_force, begin, count, n, i, choose(valid, w.force[i], nan));
            scatter(rate, begin, count, n, i, choose(valid, w.rate[i], nan));
        }
    }
    return LAW_OK;
}
