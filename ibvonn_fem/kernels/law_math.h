/* Arithmetic on blocks of points: lane i of every `vec` belongs to point i of the block.

   GCC and Clang vector extensions where they exist (their width follows the compiler flags), plain
   doubles elsewhere; the same source text serves both. Lanes never mix, so the result at a point
   does not depend on its neighbours. No branch depends on a value, except "is any lane active". */
#ifndef LAW_MATH_H
#define LAW_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

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
#define LAW_UNROLL _Pragma("GCC unroll 8")
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wpsabi" /* no vec crosses the boundary of a compiled function */
#endif
#else
#define LAW_INLINE static inline
#define LAW_UNROLL
#endif

#if LAW_LANES > 1
typedef double vec __attribute__((vector_size(8 * LAW_LANES)));
typedef int64_t mask __attribute__((vector_size(8 * LAW_LANES))); /* all bits set: true */
typedef uint64_t bits __attribute__((vector_size(8 * LAW_LANES)));
#define LANE(v, i) ((v)[i])
LAW_INLINE bits as_bits(vec a) { return (bits)a; }
LAW_INLINE vec as_vec(bits a) { return (vec)a; }
LAW_INLINE mask less(vec a, vec b) { return (mask)(a < b); }
LAW_INLINE mask at_most(vec a, vec b) { return (mask)(a <= b); }
LAW_INLINE vec splat(double a) { return a - (vec){0}; }
#else
typedef double vec;
typedef int64_t mask;
typedef uint64_t bits;
#define LANE(v, i) (*(&(v) + (i)))
LAW_INLINE bits as_bits(vec a) { bits b; memcpy(&b, &a, sizeof b); return b; }
LAW_INLINE vec as_vec(bits a) { vec b; memcpy(&b, &a, sizeof b); return b; }
LAW_INLINE mask less(vec a, vec b) { return -(mask)(a < b); }
LAW_INLINE mask at_most(vec a, vec b) { return -(mask)(a <= b); }
LAW_INLINE vec splat(double a) { return a; }
#endif

LAW_INLINE vec choose(mask m, vec a, vec b) /* a where m, else b */
{
    return as_vec((as_bits(a) & (bits)m) | (as_bits(b) & ~(bits)m));
}
LAW_INLINE int any(mask m)
{
    int64_t found = 0;
    for (int i = 0; i < LAW_LANES; i++) found |= LANE(m, i);
    return found != 0;
}
LAW_INLINE vec magnitude(vec a) { return as_vec(as_bits(a) & (UINT64_MAX >> 1)); }
LAW_INLINE vec larger(vec a, vec b) { return choose(less(a, b), b, a); } /* NaN in a stays */
LAW_INLINE vec smaller(vec a, vec b) { return choose(less(b, a), b, a); }
LAW_INLINE mask is_finite(vec a) { return at_most(magnitude(a), splat(1.7976931348623157e308)); }
LAW_INLINE vec root(vec a)
{
    for (int i = 0; i < LAW_LANES; i++) LANE(a, i) = sqrt(LANE(a, i));
    return a;
}

/* e^x - 1 without the reduction's scale: with x = n ln 2 + r, |r| <= ln 2 / 2, returns expm1(r) and
   sets scale = 2^n. The polynomial's error is 1.3e-17. x is kept within [-708, 709], where 2^n
   is a normal number: smaller exponentials are all 3e-308, larger ones all 8e307. */
LAW_INLINE vec reduced_expm1(vec x, vec *scale)
{
    const double shift = 6755399441055744.0; /* 1.5 * 2^52: adding it rounds to an integer */
    x = choose(less(x, splat(-708.0)), splat(-708.0), x);
    x = choose(less(splat(709.0), x), splat(709.0), x);
    const vec t = x * 1.4426950408889634 + shift;
    const vec n = t - shift;
    const vec r = (x - n * 0.6931471803691238) - n * 1.9082149292705877e-10;
    const vec r2 = r * r, r4 = r2 * r2;
    const vec low = (0.50000000000000010221 + 0.16666666666666667453 * r)
                    + (0.041666666666624127873 + 0.0083333333333300618325 * r) * r2;
    const vec high = (0.0013888888917213716901 + 0.00019841269863053616878 * r)
                     + (2.4801521295954375131e-5 + 2.7557268459997064772e-6 * r) * r2
                     + (2.7620088445409748161e-7 + 2.5100385495510319078e-8 * r) * r4;
    *scale = as_vec((as_bits(t) << 52) + ((uint64_t)1023 << 52));
    return r + r2 * (low + r4 * high);
}

LAW_INLINE vec exponential(vec x)
{
    vec scale;
    const vec p = reduced_expm1(x, &scale);
    return scale + scale * p;
}

/* Sigmoid and its complement; both keep their relative accuracy. */
LAW_INLINE void sigmoid(vec x, vec *s, vec *complement)
{
    const vec e = exponential(-magnitude(x)), large = 1.0 / (1.0 + e), little = e * large;
    const mask negative = less(x, splat(0.0));
    *s = choose(negative, little, large);
    *complement = choose(negative, large, little);
}

/* softplus(x) = max(x, 0) + ln(1 + e), e = exp(-|x|), with sigmoid and complement.
   ln(1 + e) = 2 atanh(q), q = e / (2 + e) <= 1/3; the polynomial's error is 1.9e-16. */
LAW_INLINE vec softplus(vec x, vec *s, vec *complement)
{
    const vec e = exponential(-magnitude(x));
    const vec a = 1.0 + e, b = 2.0 + e, inverse = 1.0 / (a * b);
    const vec large = b * inverse, little = e * large, q = e * (a * inverse);
    const vec u = q * q, u2 = u * u, u4 = u2 * u2;
    const vec low = (0.33333333333333484276 + 0.19999999999780064358 * u)
                    + (0.14285714338330497512 + 0.11111106278964856303 * u) * u2;
    const vec high = (0.09091130554209873149 + 0.076866374381790011452 * u)
                     + (0.067511712358785501992 + 0.051613346352495409549 * u) * u2
                     + 0.084353503305486046991 * u4;
    const mask negative = less(x, splat(0.0));
    *s = choose(negative, little, large);
    *complement = choose(negative, large, little);
    return choose(negative, splat(0.0), x) + 2.0 * (q + q * (u * (low + u4 * high)));
}

LAW_INLINE vec tangent_hyperbolic(vec x)
{
    vec scale;
    const vec p = reduced_expm1(-2.0 * magnitude(x), &scale);
    const vec m = (scale - 1.0) + scale * p; /* expm1(-2|x|) <= 0 */
    const vec value = -m / (2.0 + m);
    return as_vec(as_bits(value) | (as_bits(x) & ((uint64_t)1 << 63)));
}

#endif
