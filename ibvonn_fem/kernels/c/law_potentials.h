/* The two potentials with their derivatives, on a block of points. Nearly all the time goes into the
   matrix products (scalars times vec) and the activations at the top. */
#ifndef LAW_POTENTIALS_H
#define LAW_POTENTIALS_H

#include "law_data.h"
#include "law_functions.h"

/* out[i][c] += sum_j w[i][j] in[j][c] for `rows` rows and `nc` of r columns, both known. */
LAW_INLINE void multiply_tile(int rows, int nc, int cols, const double *w, const vec *in, vec *out,
                              int r)
{
    vec sum[8][4], x[4];
    LAW_UNROLL for (int i = 0; i < rows; i++)
        LAW_UNROLL for (int c = 0; c < nc; c++) sum[i][c] = out[i * r + c];
    for (int j = 0; j < cols; j++, in += r) {
        LAW_UNROLL for (int c = 0; c < nc; c++) x[c] = in[c];
        LAW_UNROLL for (int i = 0; i < rows; i++)
            LAW_UNROLL for (int c = 0; c < nc; c++) sum[i][c] += w[i * cols + j] * x[c];
    }
    LAW_UNROLL for (int i = 0; i < rows; i++)
        LAW_UNROLL for (int c = 0; c < nc; c++) out[i * r + c] = sum[i][c];
}

/* The sums of a tile stay in registers, and there are enough of them to hide the latency of a
   multiply-add: tall tiles where there are few columns. */
LAW_INLINE void multiply_columns(int nc, int rows, int cols, const double *w, const vec *in,
                                 vec *out, int r)
{
    int i = 0;
    if (nc <= 2)
        for (; i + 8 <= rows; i += 8)
            multiply_tile(8, nc, cols, w + i * cols, in, out + i * r, r);
    for (; i + 4 <= rows; i += 4) multiply_tile(4, nc, cols, w + i * cols, in, out + i * r, r);
    for (; i < rows; i++) multiply_tile(1, nc, cols, w + i * cols, in, out + i * r, r);
}

/* out[i][c] += sum_j w[i][j] in[j][c], c = 0 .. r-1. */
static LAW_NOINLINE void multiply(int rows, int cols, const double *w, const vec *in, vec *out, int r)
{
    int c = 0;
#if LAW_LANES == 8 /* 32 registers hold tiles of 4 x 4 */
    for (; r - c >= 4 && (r - c) % 3 && r - c != 5; c += 4)
        multiply_columns(4, rows, cols, w, in + c, out + c, r);
#endif
    for (; r - c >= 3; c += 3) multiply_columns(3, rows, cols, w, in + c, out + c, r);
    if (r - c == 2) multiply_columns(2, rows, cols, w, in + c, out + c, r);
    if (r - c == 1) multiply_columns(1, rows, cols, w, in + c, out + c, r);
}

/* out[j] = sum_i w[i][j] in[i]. */
static LAW_NOINLINE void multiply_transposed(int rows, int cols, const double *w, const vec *in,
                                             vec *out)
{
    int j = 0;
    for (; j + 8 <= cols; j += 8) {
        vec sum[8];
        LAW_UNROLL for (int c = 0; c < 8; c++) sum[c] = splat(0.0);
        for (int i = 0; i < rows; i++) {
            const vec x = in[i];
            LAW_UNROLL for (int c = 0; c < 8; c++) sum[c] += w[i * cols + j + c] * x;
        }
        LAW_UNROLL for (int c = 0; c < 8; c++) out[j + c] = sum[c];
    }
    for (; j + 4 <= cols; j += 4) {
        vec sum[4] = {splat(0.0), splat(0.0), splat(0.0), splat(0.0)};
        for (int i = 0; i < rows; i++) {
            const vec x = in[i];
            LAW_UNROLL for (int c = 0; c < 4; c++) sum[c] += w[i * cols + j + c] * x;
        }
        LAW_UNROLL for (int c = 0; c < 4; c++) out[j + c] = sum[c];
    }
    for (; j < cols; j++) {
        vec sum = splat(0.0);
        for (int i = 0; i < rows; i++) sum += w[i * cols + j] * in[i];
        out[j] = sum;
    }
}

/* Sigmoid of column 0 of z, and its complement. */
static LAW_NOINLINE void sigmoid_layer(int n, int r, const vec *z, vec *sig, vec *com)
{
    for (int i = 0; i < n; i++) sigmoid(z[i * r], &sig[i], &com[i]);
}

/* The same with h = softplus(z) in column 0 of `out`, and its tangents s dz in the others. */
static LAW_NOINLINE void softplus_layer(int n, int r, const vec *z, vec *sig, vec *com, vec *out)
{
    for (int i = 0; i < n; i++, z += r, out += r) {
        vec s, complement;
        out[0] = softplus(z[0], &s, &complement);
        sig[i] = s;
        com[i] = complement;
        for (int c = 1; c < r; c++) out[c] = s * z[c];
    }
}

static LAW_NOINLINE void tanh_layer(int n, vec *z)
{
    for (int i = 0; i < n; i++) z[i] = tangent_hyperbolic(z[i]);
}

/* What one layer adds to gradient and lower Hessian, gradient_c += sum_i skip_ic a_i and
   hessian_ck += sum_i b_i t_ic t_ik with the tangents t in z; nc <= 3. The sums stay in registers. */
LAW_INLINE void add_moments(int nc, int n, int d, const double *skip, const vec *a, const vec *b,
                            const vec *z, vec *gradient, vec *hessian)
{
    vec g[3], h[9];
    LAW_UNROLL for (int c = 0; c < nc; c++) {
        g[c] = gradient[c];
        LAW_UNROLL for (int k = 0; k <= c; k++) h[3 * c + k] = hessian[c * nc + k];
    }
    for (int i = 0; i < n; i++, skip += d, z += 1 + nc)
        LAW_UNROLL for (int c = 0; c < nc; c++) {
            const vec t = b[i] * z[1 + c];
            g[c] += skip[c] * a[i];
            LAW_UNROLL for (int k = 0; k <= c; k++) h[3 * c + k] += t * z[1 + k];
        }
    LAW_UNROLL for (int c = 0; c < nc; c++) {
        gradient[c] = g[c];
        LAW_UNROLL for (int k = 0; k <= c; k++) hessian[c * nc + k] = h[3 * c + k];
    }
}

/* Part of the Hessian, rows c .. and columns k .. of known numbers: sums in registers. */
LAW_INLINE void moments_tile(int rows, int cols, int c, int k, int nc, int n, const vec *b,
                             const vec *z, vec *hessian)
{
    vec h[2][4];
    LAW_UNROLL for (int i = 0; i < rows; i++)
        LAW_UNROLL for (int e = 0; e < cols; e++) h[i][e] = hessian[(c + i) * nc + k + e];
    for (int u = 0; u < n; u++, z += 1 + nc)
        LAW_UNROLL for (int i = 0; i < rows; i++) {
            const vec t = b[u] * z[1 + c + i];
            LAW_UNROLL for (int e = 0; e < cols; e++) h[i][e] += t * z[1 + k + e];
        }
    LAW_UNROLL for (int i = 0; i < rows; i++)
        LAW_UNROLL for (int e = 0; e < cols; e++) hessian[(c + i) * nc + k + e] = h[i][e];
}

LAW_INLINE void moments_rows(int rows, int c, int nc, int n, const vec *b, const vec *z, vec *hessian)
{
    int k = 0;
    for (; k < c + rows && k + 4 <= nc; k += 4) moments_tile(rows, 4, c, k, nc, n, b, z, hessian);
    for (; k < c + rows && k + 2 <= nc; k += 2) moments_tile(rows, 2, c, k, nc, n, b, z, hessian);
    for (; k < c + rows; k++) moments_tile(rows, 1, c, k, nc, n, b, z, hessian);
}

/* The same for any nc; what tiles add above the diagonal has no meaning. */
static LAW_NOINLINE void add_moments_any(int nc, int n, int d, const double *skip, const vec *a,
                                         const vec *b, const vec *z, vec *gradient, vec *hessian)
{
    int c = 0;
    for (; c < nc; c++) {
        vec g = gradient[c];
        for (int i = 0; i < n; i++) g += skip[i * d + c] * a[i];
        gradient[c] = g;
    }
    for (c = 0; c + 2 <= nc; c += 2) moments_rows(2, c, nc, n, b, z, hessian);
    if (c < nc) moments_rows(1, c, nc, n, b, z, hessian);
}

/* f(x), and its gradient and Hessian in the components first .. d-1: gradient[c], hessian[c * nc
   + b] with nc = d - first. Tangents T = dz/dx run forward, the adjoint of h backward:
   Hessian = Q + sum over layers of T' diag(bar s'') T. The value is right only if asked for.
   known: d - first is a constant, at most 3. */
LAW_INLINE vec energy_body(const law *m, const work *w, int d, int first, int want_value,
                           int known)
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
        if (!last || want_value)
            softplus_layer(n, r, z, w->sig[l], w->com[l], w->in);
        else
            sigmoid_layer(n, r, z, w->sig[l], w->com[l]);
        if (last && want_value)
            for (int i = 0; i < n; i++) value += m->output[i] * w->in[i * r];
    }
    for (int l = m->n_layers - 1; l >= 0 && nc > 0; l--) {
        const int n = m->width[l], last = l == m->n_layers - 1;
        vec *a = w->sig[l], *b = w->com[l];
        for (int i = 0; i < n; i++) {
            a[i] = (last ? splat(m->output[i]) : w->bar[i]) * a[i];
            b[i] = a[i] * b[i];
        }
        const double *skip = m->skip[l] + first;
        if (known)
            add_moments(nc, n, d, skip, a, b, w->z[l], w->gradient, w->hessian);
        else
            add_moments_any(nc, n, d, skip, a, b, w->z[l], w->gradient, w->hessian);
        if (l > 0) multiply_transposed(n, m->width[l - 1], m->hidden[l], a, w->bar);
    }
    for (int c = 0; c < nc; c++)
        for (int k = 0; k < c; k++) w->hessian[k * nc + c] = w->hessian[c * nc + k];
    return value;
}

/* The same for any sizes, compiled once. */
static LAW_NOINLINE void energy_any(const law *m, const work *w, int first, int want_value, vec *value)
{
    *value = energy_body(m, w, m->n_strain + m->n_internal, first, want_value, 0);
}

/* The same with loops unrolled where the sizes are known (ne > 0). */
LAW_INLINE vec energy(const law *m, const work *w, int ne, int n, int first, int want_value)
{
    if (ne > 0 && first < ne + n) return energy_body(m, w, ne + n, first, want_value, 1);
    vec value;
    energy_any(m, w, first, want_value, &value);
    return value;
}

/* Network of tanh layers, the last one linear, of w->context_a; returns where its output lies. */
static LAW_NOINLINE vec *tanh_network(const work *w, int layers, const int *width,
                                      const double *const *weight, const double *const *bias,
                                      int columns)
{
    vec *in = w->context_a, *out = w->context_b;
    for (int l = 0; l < layers; l++) {
        const int rows = width[l];
        for (int i = 0; i < rows; i++) out[i] = splat(bias[l][i]);
        multiply(rows, columns, weight[l], in, out, 1);
        if (l < layers - 1) tanh_layer(rows, out);
        vec *swap = in;
        in = out;
        out = swap;
        columns = rows;
    }
    return in;
}

/* Mobility Lambda Lambda' and ridge amplitudes, from the state at the start of the step. */
static LAW_NOINLINE void context(const law *m, const work *w)
{
    const int n = m->n_mean, d = m->n_strain + m->n_internal;
    for (int b = 0; b < d; b++) w->context_a[b] = w->old[b];
    vec *in = tanh_network(w, m->n_context, m->context_width, m->context_weight, m->context_bias, d);
    const int triangle = n * (n + 1) / 2, k = m->n_ridge;
    for (int i = 0; i < n; i++) in[i * (i + 1) / 2 + i] = exponential(in[i * (i + 1) / 2 + i]);
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++) {
            vec sum = splat(0.0);
            for (int c = 0; c <= j; c++) sum += in[i * (i + 1) / 2 + c] * in[j * (j + 1) / 2 + c];
            w->mobility[i * n + j] = w->mobility[j * n + i] = sum;
        }
    for (int j = 0; j < k; j++) w->amplitude[j] = exponential(in[triangle + j]);
}

/* phi'(g) into rate, phi''(g) into curvature. */
LAW_INLINE void dissipation(const law *m, const work *w, int n)
{
    const vec *g = w->force;
    const int ridges = m->n_ridge;
    vec *slope = w->ridge_sig, *bend = w->ridge_com;
    for (int k = 0; k < ridges; k++) {
        vec u = w->bias[k];
        for (int i = 0; i < n; i++) u += m->ridge_weight[k * n + i] * g[i];
        w->ridge[k] = u;
    }
    sigmoid_layer(ridges, 1, w->ridge, slope, bend);
    for (int k = 0; k < ridges; k++) {
        const vec s = slope[k];
        slope[k] = w->amplitude[k] * (s - w->rest_sig[k]);
        bend[k] = w->amplitude[k] * (s * bend[k]);
    }
    for (int i = 0; i < n; i++) {
        const double *ridge = m->ridge_weight;
        vec rate = splat(0.0);
        for (int j = 0; j < n; j++) rate += w->mobility[i * n + j] * g[j];
        for (int k = 0; k < ridges; k++) rate += ridge[k * n + i] * slope[k];
        w->rate[i] = rate;
        for (int j = 0; j <= i; j++) {
            vec curvature = w->mobility[i * n + j];
            for (int k = 0; k < ridges; k++)
                curvature += (ridge[k * n + i] * ridge[k * n + j]) * bend[k];
            w->curvature[i * n + j] = w->curvature[j * n + i] = curvature;
        }
    }
}

/* phi(g); no term is negative but by round-off. */
static LAW_NOINLINE void dissipation_value(const law *m, const work *w, const vec *g, vec *value)
{
    const int n = m->n_mean;
    vec sum = splat(0.0);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) sum += 0.5 * g[i] * w->mobility[i * n + j] * g[j];
    for (int k = 0; k < m->n_ridge; k++) {
        vec u = splat(0.0), s, complement;
        for (int i = 0; i < n; i++) u += m->ridge_weight[k * n + i] * g[i];
        const vec plus = softplus(u + w->bias[k], &s, &complement);
        const vec excess = (plus - w->rest_plus[k]) - w->rest_sig[k] * u;
        sum += w->amplitude[k] * larger(splat(0.0), excess);
    }
    *value = sum;
}

/* Sum of the magnitudes of the terms that cancel in phi at the last force: its round-off is a
   fraction of them. */
static LAW_NOINLINE void dissipation_terms(const law *m, const work *w, vec *value)
{
    vec sum = splat(0.0);
    for (int k = 0; k < m->n_ridge; k++)
        sum += 2.0 * w->amplitude[k] * (w->rest_plus[k] + magnitude(w->ridge[k] - w->bias[k]));
    *value = sum;
}

#endif
