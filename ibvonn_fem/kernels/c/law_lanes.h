/* Blocks of points: lane i of every `vec` belongs to point i of the block.

   AVX-512 registers, GCC and Clang vector extensions (their width follows the compiler flags) or
   plain doubles: the same text serves all. Lanes never mix, so the result at a point does not
   depend on its neighbours. No branch depends on a value, except "is any lane active". */
#ifndef LAW_LANES_H
#define LAW_LANES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Rounding by adding and subtracting a large number, and tests for NaN, do not survive these flags.
   What compilers do not announce, arithmetic_holds() finds at run time. */
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ > 0)              \
    || defined(__ASSOCIATIVE_MATH__) || defined(_M_FP_FAST)
#error "This law needs IEEE arithmetic: compile without -ffast-math and -Ofast (icx, ifx: -fp-model=precise; MSVC: /fp:precise)."
#endif

#ifndef LAW_LANES
#if !defined(__GNUC__)
#define LAW_LANES 1
#elif defined(__AVX512F__)
#define LAW_LANES 8
#elif defined(__AVX__)
#define LAW_LANES 4
#else
#define LAW_LANES 2
#endif
#endif

#if defined(__GNUC__)
#define LAW_INLINE static inline __attribute__((always_inline, unused))
#define LAW_NOINLINE __attribute__((noinline, unused))
#define LAW_UNROLL _Pragma("GCC unroll 8")
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wpsabi" /* no vec crosses the boundary of a compiled function */
#endif
#else
#define LAW_INLINE static inline
#define LAW_NOINLINE
#define LAW_UNROLL
#endif

#if LAW_LANES > 1
typedef double vec __attribute__((vector_size(8 * LAW_LANES)));
typedef uint64_t bits __attribute__((vector_size(8 * LAW_LANES)));
#define LANE(v, i) ((v)[i])
LAW_INLINE bits as_bits(vec a) { return (bits)a; }
LAW_INLINE vec as_vec(bits a) { return (vec)a; }
LAW_INLINE vec splat(double a) { return a - (vec){0}; }
#else
typedef double vec;
typedef uint64_t bits;
#define LANE(v, i) (*(&(v) + (i)))
LAW_INLINE bits as_bits(vec a) { bits b; memcpy(&b, &a, sizeof b); return b; }
LAW_INLINE vec as_vec(bits a) { vec b; memcpy(&b, &a, sizeof b); return b; }
LAW_INLINE vec splat(double a) { return a; }
#endif

/* mask: what comparisons return; &, | and ~ combine masks. choose(m, a, b) is a where m, else b.
   larger and smaller keep a NaN of their second argument. */
#if LAW_LANES == 8 && defined(__AVX512F__)
#define LAW_AVX512
#include <immintrin.h>
typedef __mmask8 mask;
LAW_INLINE mask less(vec a, vec b) { return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_LT_OQ); }
LAW_INLINE mask at_most(vec a, vec b) { return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_LE_OQ); }
LAW_INLINE vec choose(mask m, vec a, vec b) { return (vec)_mm512_mask_blend_pd(m, (__m512d)b, (__m512d)a); }
LAW_INLINE vec larger(vec a, vec b) { return (vec)_mm512_max_pd((__m512d)a, (__m512d)b); }
LAW_INLINE vec smaller(vec a, vec b) { return (vec)_mm512_min_pd((__m512d)a, (__m512d)b); }
LAW_INLINE vec root(vec a) { return (vec)_mm512_sqrt_pd((__m512d)a); }
LAW_INLINE int any(mask m) { return m != 0; }
#else
#if LAW_LANES > 1
typedef int64_t mask __attribute__((vector_size(8 * LAW_LANES))); /* all bits set: true */
LAW_INLINE mask less(vec a, vec b) { return (mask)(a < b); }
LAW_INLINE mask at_most(vec a, vec b) { return (mask)(a <= b); }
#else
typedef int64_t mask;
LAW_INLINE mask less(vec a, vec b) { return -(mask)(a < b); }
LAW_INLINE mask at_most(vec a, vec b) { return -(mask)(a <= b); }
#endif
LAW_INLINE vec choose(mask m, vec a, vec b)
{
    return as_vec((as_bits(a) & (bits)m) | (as_bits(b) & ~(bits)m));
}
LAW_INLINE vec larger(vec a, vec b) { return choose(less(b, a), a, b); }
LAW_INLINE vec smaller(vec a, vec b) { return choose(less(a, b), a, b); }
LAW_INLINE vec root(vec a)
{
    for (int i = 0; i < LAW_LANES; i++) LANE(a, i) = sqrt(LANE(a, i));
    return a;
}
LAW_INLINE int any(mask m)
{
    int64_t found = 0;
    for (int i = 0; i < LAW_LANES; i++) found |= LANE(m, i);
    return found != 0;
}
#endif

#define LAW_HUGE 1.7976931348623157e308 /* largest double */
LAW_INLINE vec magnitude(vec a) { return as_vec(as_bits(a) & (UINT64_MAX >> 1)); }
LAW_INLINE mask is_finite(vec a) { return at_most(magnitude(a), splat(LAW_HUGE)); }

/* v[c] = from[point][c] for the points of a block; lanes beyond count repeat the last point. */
static LAW_NOINLINE void gather(const double *from, int64_t begin, int count, int64_t stride,
                                vec *v, int components)
{
    from += begin * stride;
    for (int i = 0; i < LAW_LANES; i++)
        for (int c = 0; c < components; c++)
            LANE(v[c], i) = from[(i < count ? i : count - 1) * stride + c];
}

static LAW_NOINLINE void scatter(double *to, int64_t begin, int count, int64_t stride, const vec *v,
                                 int components)
{
    to += begin * stride;
    for (int i = 0; i < count; i++)
        for (int c = 0; c < components; c++) to[i * stride + c] = LANE(v[c], i);
}

#endif
