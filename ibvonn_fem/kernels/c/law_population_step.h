/* One step of a law with populations, and its rates in continuous time. */
#ifndef LAW_POPULATION_STEP_H
#define LAW_POPULATION_STEP_H

#include "law_outputs.h"
#include "law_population_force.h"

#define LAW_FLOOR 1e-16 /* 1 - sum of p has no digits below this, for ln p_0 at given a ... */
#define LAW_LEAST 1e-60 /* ... and the least other fraction there: p at rest has all its digits */

/* Outputs at the state w->x of the last evaluation, moved by the last correction w->delta to first
   order; F_ae's response is in w->system from column n + 1 on. */
static LAW_NOINLINE void finish_populations(const law *m, const work *w, const arguments *io,
                                            int64_t begin, int count, mask valid,
                                            const vec *energies, const vec *error)
{
    const int ne = m->n_strain, n = m->n_internal, d = ne + n, columns = n + 1 + ne;
    const int diagonal = m->diagonal;
    const vec *h = w->hessian;
    mask overflow = less(splat(0.0), splat(0.0));
    vec f = energies[1], released = splat(0.0), entropy;
    const mask small = at_most(correction_size(m, w, ne, n, 1.0), splat(1e-6));
    for (int i = 0; i < n; i++) {
        w->delta[i] = choose(small, w->delta[i], splat(0.0));
        w->x[ne + i] += w->delta[i];
        f += w->gradient[ne + i] * w->delta[i];
    }
    for (int i = 0; i < n; i++) {
        w->s[i] = splat(0.0); /* change of G */
        for (int k = 0; k < n; k++) w->s[i] -= h[(ne + i) * d + ne + k] * w->delta[k];
    }
    vec *p = w->fraction;
    for (int g = 0; g < m->n_group; g++) { /* p has digits that a, less the fraction at rest, has lost */
        for (int s = 1; s < m->states[g]; s++) {
            const vec change = moved(w->compliance, n, diagonal, w->s, m->first[g] + s - 1);
            p[s] += change;
            p[0] -= change;
        }
        p += m->states[g];
    }
    mixing_entropy(m, w->fraction, &entropy);
    mixing_forces(m, w->fraction, w->end);
    f += entropy;
    vec least;
    put_within(m, w, w->x + ne, &least);
    for (int i = 0; i < n; i++)
        released += (w->pull[i] + w->s[i] - w->end[i]) * (w->x[ne + i] - w->old[ne + i]);
    for (int c = 0; c < ne; c++) {
        for (int i = 0; i < n; i++) w->gradient[c] += h[c * d + ne + i] * w->delta[i];
        for (int b = 0; b < ne; b++) {
            vec sum = splat(0.0);
            for (int i = 0; i < n; i++)
                sum += h[c * d + ne + i] * w->system[i * columns + n + 1 + b];
            w->tangent[c * ne + b] = h[c * d + b] - sum;
        }
    }
    if (m->most_states == 2) /* symmetric but for round-off */
        for (int c = 0; c < ne; c++)
            for (int b = 0; b < c; b++)
                w->tangent[c * ne + b] = w->tangent[b * ne + c] =
                    0.5 * (w->tangent[c * ne + b] + w->tangent[b * ne + c]);
    vec outside = excursion(m, w, d), output = f;
    const vec slack = 1e-9 * (magnitude(f) + magnitude(energies[0]) + magnitude(released)
                              + splat(fabs(m->constant)));
    const mask stable = at_most(f + released, energies[0] + slack);
    put(io->stress, begin, count, w->gradient, ne, valid, &overflow);
    put(io->statev_new, begin, count, w->x + ne, n, valid, &overflow);
    put(io->tangent, begin, count, w->tangent, ne * ne, valid, &overflow);
    put(io->energy, begin, count, &output, 1, valid, &overflow);
    put(io->dissipation, begin, count, &released, 1, valid, &overflow);
    put(io->validity, begin, count, &outside, 1, valid, &overflow);
    output = choose(stable & ~overflow, *error, splat(HUGE_VAL));
    put(io->residual, begin, count, &output, 1, valid, &overflow);
}

/* Read the points of a block: what is frozen over the step, f(e, a_n), and the force at the first iterate
   into w->pull. Returns which points have valid input. */
static LAW_NOINLINE mask begin_populations(const law *m, const work *w, const arguments *io,
                                           int64_t begin, int count, vec *dt, vec *start)
{
    const int ne = m->n_strain, n = m->n_internal, d = ne + n;
    const vec zero = splat(0.0);
    vec entropy, least;
    gather(io->dt, begin, count, io->dt_stride, dt, 1);
    gather(io->strain_old, begin, count, ne, w->old, ne);
    gather(io->statev, begin, count, n, w->old + ne, n);
    gather(io->strain, begin, count, ne, w->x, ne);
    mask valid = at_most(*dt, splat(LAW_LONGEST_STEP)) & at_most(zero, *dt);
    for (int c = 0; c < ne; c++) valid &= is_finite(w->x[c]);
    for (int c = 0; c < d; c++) valid &= is_finite(w->old[c]);
    put_within(m, w, w->old + ne, &least);
    valid &= at_most(splat(-LAW_ROUND_OFF), least);
    internal_slope(m, w, w->old, 0, w->pull, NULL);
    freeze(m, w, w->pull);
    fractions(m, w->old + ne, w->before);
    for (int s = 0; s < m->n_state; s++) w->before[s] = larger(zero, w->before[s]);
    for (int i = 0; i < n; i++) w->x[ne + i] = w->old[ne + i];
    internal_slope(m, w, w->x, 1, w->pull, start);
    mixing_entropy(m, w->before, &entropy);
    *start += entropy;
    if (io->guess) {
        gather(io->guess, begin, count, n, w->x + ne, n); /* not finite: the search starts anew */
        internal_slope(m, w, w->x, 0, w->pull, NULL);
    }
    for (int i = 0; i < n; i++) {
        w->pull[i] = -w->pull[i];
        w->solution[i] = w->old[ne + i];
    }
    return valid;
}

/* Evaluate everything in a itself, from w->solution on, until the correction w->delta falls below 1e-12
   (it is left to be applied to first order): the energy F, and the scaled residual. */
static LAW_NOINLINE void settle(const law *m, const work *w, const vec *increment, mask todo, vec *value,
                                vec *residual)
{
    const int ne = m->n_strain, n = m->n_internal, d = ne + n, columns = n + 1 + ne;
    const int diagonal = m->diagonal;
    const vec dt = *increment, zero = splat(0.0);
    vec error, previous = splat(HUGE_VAL);
    for (int i = 0; i < n; i++) w->x[ne + i] = w->solution[i];
    for (int pass = 0;; pass++) {
        energy_any(m, w, 0, 1, value);
        const vec *f = w->hessian + ne * d + ne;
        for (int i = 0; i < n; i++) w->pull[i] = -w->gradient[ne + i];
        balance(m, w, ne, n, diagonal, w->pull, dt);
        error = zero;
        for (int i = 0; i < n; i++) {
            vec *row = w->system + i * columns;
            const vec r = w->x[ne + i] - w->end[i];
            error = larger(magnitude(r) * (1.0 / m->scale[i]), error);
            for (int j = 0; j < n; j++)
                row[j] = (i == j ? 1.0 : 0.0) + compliant(f, d, w->compliance, n, diagonal, i, j);
            row[n] = -r;
            for (int c = 0; c < ne; c++)
                row[n + 1 + c] = compliant(w->hessian + ne * d, d, w->compliance, n, diagonal, i, c);
        }
        eliminate(w->system, n, columns);
        for (int i = 0; i < n; i++) w->delta[i] = w->system[i * columns + n];
        const vec size = correction_size(m, w, ne, n, 0.0);
        todo &= less(splat(1e-12), size) & less(size, 0.5 * previous);
        previous = size;
        if (pass == LAW_FULL_STEPS || !any(todo)) break;
        for (int i = 0; i < n; i++) w->x[ne + i] += choose(todo, w->delta[i], zero);
    }
    const vec terms = coupling(m, w, n, diagonal, w->hessian + ne * d + ne, d);
    *residual = choose(is_finite(terms) & is_finite(error), error / terms, splat(HUGE_VAL));
}

/* The step at the points begin .. begin + count - 1: plain Newton steps in the force from G at the first
   iterate, a search for points where these fail, then evaluations of everything in a itself until the
   correction falls below 1e-12, the last one being applied to first order. */
LAW_INLINE void population_block(const law *m, const work *w, int known_ne, int known_n,
                                 const arguments *io, int64_t begin, int count)
{
    const int ne = known_ne ? known_ne : m->n_strain, n = known_n ? known_n : m->n_internal;
    const vec zero = splat(0.0);
    vec dt, energies[2], error;
    const mask valid = begin_populations(m, w, io, begin, count, &dt, &energies[0]);

    /* After the first step F_aa is kept and follows F_a: a step then leaves about such a share of itself as
       the last one left of s, where a fresh one leaves its square. Up to three components a fresh one
       costs too little. */
    mask todo = valid, hard = less(zero, zero), kept = hard;
    vec previous = splat(LAW_HUGE);
    for (int pass = 0; any(todo); pass++) {
        error = linearise(m, w, ne, n, known_n, (mask)(todo & ~kept), dt);
        const mask good = todo & at_most(error, (pass == 1 ? LAW_FIRST : LAW_ENOUGH) * previous);
        const vec square = splat(1e-6), share = smaller(square, 1e-13 * previous / (error + LAW_TINY));
        const mask home = good & arrives(m, w, n, choose(kept, share, square));
        if (n > 3) kept = good;
        for (int i = 0; i < n; i++) {
            w->solution[i] = choose(home, w->end[i] + w->step[i], w->solution[i]);
            w->pull[i] += choose(good, w->delta[i], zero);
        }
        hard |= todo & ~good;
        todo = good & ~home;
        previous = error;
        if (pass == LAW_FORCE_STEPS) {
            hard |= todo;
            break;
        }
    }
    if (any(hard)) search_force(m, w, &dt, hard);

    settle(m, w, &dt, valid, &energies[1], &error);
    finish_populations(m, w, io, begin, count, valid, energies, &error);
}

/* The law in continuous time at w->old = w->x: energy, stress and forces as of f, rate into w->rate. */
static LAW_NOINLINE void population_rates(const law *m, const work *w, vec *f)
{
    const int ne = m->n_strain, n = m->n_internal;
    const double half = 0.5 / m->thermal_energy;
    vec *p = w->fraction, *q = w->before, entropy;
    energy_any(m, w, 0, 1, f);
    freeze(m, w, w->gradient + ne);
    fractions(m, w->old + ne, p);
    for (int i = 0; i < n; i++) w->end[i] = splat(0.0);
    for (int g = 0, pair = 0; g < m->n_group; g++) {
        const vec *slope = w->gradient + ne + m->first[g];
        vec *rate = w->end + m->first[g];
        for (int i = 0; i < m->states[g]; i++) {
            q[i] = larger(splat(i ? LAW_LEAST : LAW_FLOOR), p[i]);
            for (int j = i + 1; j < m->states[g]; j++, pair++) {
                vec there, back, rise, y = slope[j - 1];
                if (i) y -= slope[i - 1];
                pair_rates(m, w, pair, half * y, splat(1.0), &there, &back, &rise);
                const vec flow = there * p[j] - back * p[i];
                if (i) rate[i - 1] += flow;
                rate[j - 1] -= flow;
            }
        }
        p += m->states[g];
        q += m->states[g];
    }
    if (m->n_mean) {
        for (int i = 0; i < m->n_mean; i++) w->force[i] = -w->gradient[ne + m->mean[i]];
        dissipation(m, w, m->n_mean);
        for (int i = 0; i < m->n_mean; i++) w->end[m->mean[i]] = w->rate[i];
    }
    mixing_entropy(m, w->before, &entropy);
    mixing_forces(m, w->before, w->pull);
    *f += entropy;
    for (int i = 0; i < n; i++) {
        w->force[i] = -w->gradient[ne + i] - w->pull[i];
        w->rate[i] = w->end[i];
    }
}

#endif
