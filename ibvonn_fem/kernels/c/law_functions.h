/* exp, ln, sigmoid, softplus and tanh of a block, without branches, to a few units in the last place
   (tanh: to 1e-16).

   With AVX-512 the tables of 16 entries are one instruction; elsewhere longer polynomials are
   cheaper than look-ups. Polynomials: Chebyshev fits on the intervals stated, errors as stated. */
#ifndef LAW_FUNCTIONS_H
#define LAW_FUNCTIONS_H

#include "law_lanes.h"

#define LAW_SHIFT 6755399441055744.0 /* 1.5 * 2^52: adding it rounds to an integer */

#ifdef LAW_AVX512
static const double law_power[16] = { /* 2^(k/16) */
    1.0, 1.0442737824274138, 1.0905077326652577, 1.1387886347566916, 1.189207115002721,
    1.241857812073484, 1.2968395546510096, 1.3542555469368927, 1.4142135623730951,
    1.4768261459394993, 1.5422108254079407, 1.6104903319492543, 1.681792830507429,
    1.7562521603732995, 1.8340080864093424, 1.9152065613971474};
static const double law_inverse[16] = { /* c_k = 1 / (1 + k/15), rounded */
    1.0, 0.9375, 0.8823529411764706, 0.8333333333333334, 0.7894736842105263, 0.75,
    0.7142857142857143, 0.6818181818181818, 0.6521739130434783, 0.625, 0.6, 0.5769230769230769,
    0.5555555555555556, 0.5357142857142857, 0.5172413793103449, 0.5};
static const double law_logarithm[16] = { /* -ln c_k */
    0.0, 0.06453852113757118, 0.12516314295400605, 0.1823215567939546, 0.2363887780642304,
    0.2876820724517809, 0.3364722366212129, 0.38299225225610584, 0.4274440148269396,
    0.4700036292457356, 0.5108256237659907, 0.5500463369192721, 0.587786664902119,
    0.6241543090729939, 0.6592456288842639, 0.6931471805599453};

LAW_INLINE vec look_up(const double *table, vec index) /* index: the low four bits */
{
    return (vec)_mm512_permutex2var_pd(_mm512_loadu_pd(table), (__m512i)index, _mm512_loadu_pd(table + 8));
}

/* With x = n ln 2 / 16 + r, |r| <= ln 2 / 32: returns expm1(r), error 2.8e-17, and scale = 2^(n/16).
   x is kept within [-708, 709], where scale is a normal number: smaller exponentials are all
   3e-308, larger ones all 8e307. */
LAW_INLINE vec reduced_expm1(vec x, vec *scale)
{
    x = smaller(splat(709.0), larger(splat(-708.0), x));
    const vec t = x * 23.083120654223414 + LAW_SHIFT;
    const vec n = t - LAW_SHIFT;
    const vec r = (x - n * 0.04332169877307024) - n * 1.1926343307941173e-11;
    const vec r2 = r * r;
    const vec high = (0.16666666665296222739 * r + 0.5)
                     + r2 * ((0.0083334499341071853523 * r + 0.041666666664953614554)
                             + r2 * 0.0013889034639665864761);
    *scale = as_vec(as_bits(look_up(law_power, t)) + ((as_bits(t) >> 4) << 52));
    return r + r2 * high;
}

/* ln(1 + e) for 0 <= e <= 1: with k = round(15 e), w = (1 + e) c_k - 1 lies in [-1/32, 1/30] and
   ln(1 + e) = log1p(w) - ln c_k; the polynomial's error is 1.2e-18. */
LAW_INLINE vec log1p_fraction(vec e)
{
    const vec index = e * 15.0 + LAW_SHIFT, c = look_up(law_inverse, index);
    const vec w = e * c + (c - 1.0), w2 = w * w;
    const vec low = (0.33333333333336567974 * w - 0.49999999999999896567)
                    + w2 * (0.19999999971836809213 * w - 0.25000000003081940866);
    const vec high = (0.14285770386172851723 * w - 0.16666652304377337062)
                     + w2 * (0.1108767863760783901 * w - 0.12521435790204601163);
    return look_up(law_logarithm, index) + (w + w2 * (low + (w2 * w2) * high));
}
#else
/* The same with x = n ln 2 + r, |r| <= ln 2 / 2; the polynomial's error is 1.3e-17. */
LAW_INLINE vec reduced_expm1(vec x, vec *scale)
{
    x = smaller(splat(709.0), larger(splat(-708.0), x));
    const vec t = x * 1.4426950408889634 + LAW_SHIFT;
    const vec n = t - LAW_SHIFT;
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

/* The same as 2 atanh(q), q = e / (2 + e) <= 1/3; the polynomial's error is 1.9e-16 q. */
LAW_INLINE vec log1p_fraction(vec e)
{
    const vec q = e / (2.0 + e), u = q * q, u2 = u * u, u4 = u2 * u2;
    const vec low = (0.33333333333333484276 + 0.19999999999780064358 * u)
                    + (0.14285714338330497512 + 0.11111106278964856303 * u) * u2;
    const vec high = (0.09091130554209873149 + 0.076866374381790011452 * u)
                     + (0.067511712358785501992 + 0.051613346352495409549 * u) * u2
                     + 0.084353503305486046991 * u4;
    return 2.0 * (q + q * (u * (low + u4 * high)));
}
#endif

LAW_INLINE vec exponential(vec x)
{
    vec scale;
    const vec p = reduced_expm1(x, &scale);
    return scale + scale * p;
}

/* Sigmoid and its complement, both to their own last places; returns e = exp(-|x|). */
LAW_INLINE vec sigmoid(vec x, vec *s, vec *complement)
{
    const vec e = exponential(-magnitude(x)), large = 1.0 / (1.0 + e), little = e * large;
    const mask negative = less(x, splat(0.0));
    *s = choose(negative, little, large);
    *complement = choose(negative, large, little);
    return e;
}

/* softplus(x) = ln(1 + e^x) = max(x, 0) + ln(1 + exp(-|x|)), with its first derivative s and 1 - s. */
LAW_INLINE vec softplus(vec x, vec *s, vec *complement)
{
    const vec e = sigmoid(x, s, complement);
    return larger(splat(0.0), x) + log1p_fraction(e);
}

LAW_INLINE vec tangent_hyperbolic(vec x)
{
    vec scale;
    const vec p = reduced_expm1(-2.0 * magnitude(x), &scale);
    const vec m = (scale - 1.0) + scale * p; /* expm1(-2|x|) <= 0 */
    const vec value = -m / (2.0 + m);
    return as_vec(as_bits(value) | (as_bits(x) & ((uint64_t)1 << 63)));
}

/* ln(x) for normal x > 0, to 2e-16 of the larger of 1 and itself. */
LAW_INLINE vec logarithm(vec x)
{
    const uint64_t one = (uint64_t)1023 << 52, fraction = ((uint64_t)1 << 52) - 1;
    const vec power = as_vec((as_bits(x) >> 52) | ((uint64_t)1075 << 52)) - (4503599627370496.0 + 1023.0);
    const vec rest = log1p_fraction(as_vec((as_bits(x) & fraction) | one) - 1.0);
    return power * 0.6931471803691238 + (power * 1.9082149292705877e-10 + rest);
}

/* Whether the compiler has left the arithmetic alone: exponentials round their argument, and
   NaN and infinity are seen. Volatile values are not computed in advance. */
static LAW_NOINLINE int arithmetic_holds(void)
{
    static const double known[3][2] = { /* x, e^x */
        {0.3, 1.3498588075760032}, {-1.7, 0.18268352405273466}, {9.1, 8955.292703482508}};
    static const volatile uint64_t not_finite[2] = {(uint64_t)0x7ff8 << 48, (uint64_t)0x7ff0 << 48};
    mask good = at_most(splat(0.0), splat(0.0));
    for (int i = 0; i < 3; i++) {
        volatile double x = known[i][0];
        const vec error = magnitude(exponential(splat(x)) - splat(known[i][1]));
        good &= less(error, splat(1e-14 * known[i][1]));
    }
    for (int i = 0; i < 2; i++) {
        const uint64_t pattern = not_finite[i];
        double x;
        memcpy(&x, &pattern, sizeof x);
        good &= ~is_finite(splat(x));
        if (i == 0) good &= ~(at_most(splat(x), splat(1.0)) | at_most(splat(1.0), splat(x)));
    }
    return !any((mask)~good);
}

#endif
