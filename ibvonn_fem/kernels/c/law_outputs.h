/* What a batch takes and gives, and what every family of laws writes in the same way. */
#ifndef LAW_OUTPUTS_H
#define LAW_OUTPUTS_H

#include "law_data.h"

/* Arrays of a batch, points first. */
typedef struct {
    const double *strain, *strain_old, *statev, *dt, *guess;
    int64_t dt_stride;
    double *stress, *statev_new, *tangent, *energy, *dissipation, *residual, *validity;
} arguments;

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

/* NaN at points whose input was refused, +inf for what overflowed elsewhere. */
static LAW_NOINLINE void put(double *to, int64_t begin, int count, vec *v, int components, mask valid,
                             mask *overflow)
{
    for (int c = 0; c < components; c++) {
        const mask good = is_finite(v[c]);
        *overflow = (mask)(*overflow | ~good);
        v[c] = choose(valid, choose(good, v[c], splat(HUGE_VAL)), splat(NAN));
    }
    scatter(to, begin, count, components, v, components);
}

#endif
