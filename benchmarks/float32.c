/* Newton's method of law.c in float32: a first iterate for the kernel in float64.

   The potentials and the local problem are the kernel's own text with float in place of double and
   twice the lanes; what depends on the format of the numbers, lanes and activations, is here. GCC
   or Clang with AVX-512; compile with -fsingle-precision-constant. */
#include <float.h>
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define LAW_LANES_H
#define LAW_FUNCTIONS_H
#define LAW_LANES 16
#define LAW_INLINE static inline __attribute__((always_inline, unused))
#define LAW_NOINLINE __attribute__((noinline, unused))
#define LAW_UNROLL _Pragma("GCC unroll 8")
#define LAW_HUGE FLT_MAX

typedef float vec __attribute__((vector_size(64)));
typedef uint32_t bits __attribute__((vector_size(64)));
typedef __mmask16 mask;
#define LANE(v, i) ((v)[i])
LAW_INLINE vec splat(float a) { return a - (vec){0}; }
LAW_INLINE mask less(vec a, vec b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OQ); }
LAW_INLINE mask at_most(vec a, vec b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LE_OQ); }
LAW_INLINE vec choose(mask m, vec a, vec b) { return (vec)_mm512_mask_blend_ps(m, (__m512)b, (__m512)a); }
LAW_INLINE vec larger(vec a, vec b) { return (vec)_mm512_max_ps((__m512)a, (__m512)b); }
LAW_INLINE vec smaller(vec a, vec b) { return (vec)_mm512_min_ps((__m512)a, (__m512)b); }
LAW_INLINE int any(mask m) { return m != 0; }
LAW_INLINE vec magnitude(vec a) { return (vec)((bits)a & (UINT32_MAX >> 1)); }
LAW_INLINE mask is_finite(vec a) { return at_most(magnitude(a), splat(FLT_MAX)); }

/* exp(x) = 2^n exp(r), |r| <= ln 2 / 2; x is kept where 2^n is a normal number. */
LAW_INLINE vec exponential(vec x)
{
    x = smaller(splat(88.0), larger(splat(-87.0), x));
    const vec t = x * 1.44269504f + 12582912.0f, n = t - 12582912.0f; /* 1.5 * 2^23 rounds */
    const vec r = (x - n * 0.693145752f) - n * 1.42860677e-6f;
    const vec low = r * (0.166666667f * r + 0.5f);
    const vec high = (0.00138888889f * r + 0.00833333333f) * r + 0.0416666667f;
    const vec scale = (vec)(((bits)t << 23) + (uint32_t)(127u << 23));
    return scale + scale * (r + r * (low + r * r * r * high));
}

LAW_INLINE vec sigmoid(vec x, vec *s, vec *complement)
{
    const vec e = exponential(-magnitude(x)), large_part = 1.0f / (1.0f + e), little = e * large_part;
    const mask negative = less(x, splat(0.0f));
    *s = choose(negative, little, large_part);
    *complement = choose(negative, large_part, little);
    return e;
}

/* ln(1 + e) = 2 atanh(q), q = e / (2 + e) <= 1/3. */
LAW_INLINE vec softplus(vec x, vec *s, vec *complement)
{
    const vec e = sigmoid(x, s, complement), q = e / (2.0f + e), u = q * q;
    const vec tail = ((0.111111111f * u + 0.142857143f) * u + 0.2f) * u + 0.333333333f;
    return larger(splat(0.0f), x) + 2.0f * (q + q * u * tail);
}

LAW_INLINE vec tangent_hyperbolic(vec x)
{
    const vec e = exponential(-2.0f * magnitude(x)), value = (1.0f - e) / (1.0f + e);
    return choose(less(x, splat(0.0f)), -value, value);
}

#define double float
#define fabs fabsf
#include "law_newton.h"
#undef double
#undef fabs

static LAW_NOINLINE void gather(const double *from, int64_t begin, int count, vec *v, int components)
{
    for (int i = 0; i < LAW_LANES; i++)
        for (int c = 0; c < components; c++)
            LANE(v[c], i) = (float)from[(begin + (i < count ? i : count - 1)) * components + c];
}

int64_t float_workspace(const int64_t *sizes, int64_t n_sizes)
{
    law m;
    work w;
    const int64_t count = bind(&m, sizes, n_sizes, NULL);
    return count < 0 ? count : (lay_out(&w, &m, NULL) + 1) * LAW_LANES;
}

LAW_INLINE void guess_block(const law *m, const work *w, int known_ne, int known_n, vec dt)
{
    const int ne = known_ne, n = known_n;
    mask todo = at_most(splat(0.0f), splat(0.0f));
    vec previous = splat(FLT_MAX);
    for (int iteration = 0; iteration < 8 && any(todo); iteration++) {
        energy(m, w, known_ne, known_n, ne, 0);
        for (int i = 0; i < n; i++) w->force[i] = -w->gradient[i];
        const vec size = newton(m, w, known_ne, known_n, w->hessian, n, dt);
        todo &= at_most(size, 0.5f * previous); /* else: round-off, or no plain matter */
        for (int i = 0; i < n; i++) w->x[ne + i] += choose(todo, w->delta[i], splat(0.0f));
        todo &= less(splat(1e-3f), correction_size(m, w, ne, n, 1.0f));
        previous = size;
    }
}

/* First iterate of the new state at n_points points of a law of one strain, one or two internal
   variables; `workspace` in floats, aligned to 64 bytes. */
int float_guess(const int64_t *sizes, int64_t n_sizes, const float *weights, float *workspace,
                int64_t n_points, const double *strain, const double *strain_old,
                const double *statev, double dt, double *guess)
{
    law m;
    work w;
    memset(&w, 0, sizeof w);
    if (bind(&m, sizes, n_sizes, weights) < 0) return -1;
    lay_out(&w, &m, (vec *)(void *)workspace);
    const int n = m.n_internal;
    for (int k = 0; k < m.n_ridge; k++) w.bias[k] = splat(m.ridge_bias[k]);
    softplus_layer(m.n_ridge, 1, w.bias, w.rest_sig, w.rest_com, w.rest_plus);
    for (int64_t begin = 0; begin < n_points; begin += LAW_LANES) {
        const int count = (int)(n_points - begin < LAW_LANES ? n_points - begin : LAW_LANES);
        gather(strain_old, begin, count, w.old, 1);
        gather(statev, begin, count, w.old + 1, n);
        gather(strain, begin, count, w.x, 1);
        for (int i = 0; i < n; i++) w.x[1 + i] = w.old[1 + i];
        context(&m, &w);
        if (n == 1)
            guess_block(&m, &w, 1, 1, splat((float)dt));
        else
            guess_block(&m, &w, 1, 2, splat((float)dt));
        for (int i = 0; i < count; i++)
            for (int c = 0; c < n; c++) guess[(begin + i) * n + c] = LANE(w.x[1 + c], i);
    }
    return 0;
}
