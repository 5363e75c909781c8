/* The local problem of a law with populations. The unknown is the force q that stands for G(e, a+): at
   given q the implicit equation is linear in the fractions and explicit in the means, which gives a(q)
   within its bounds and W = da/dq; what remains,

       s(q) = q + F_a(e, a(q)) = 0,   s' = I + F_aa W,

   has no exponentials that grow. Newton's steps need not be limited to the bounds: none leaves them. */
#ifndef LAW_POPULATION_FORCE_H
#define LAW_POPULATION_FORCE_H

#include "law_newton.h"
#include "law_populations.h"

#define LAW_PASSES 100     /* of the search */
#define LAW_CLOSE 1e-6     /* residual at which a refused step is the last */
#define LAW_RESOLVED 1e-3  /* |s| / theta below which W s is the distance to the solution */
#define LAW_ENOUGH 0.7     /* a step must bring |s| down to this share of what it was ... */
#define LAW_FIRST 2.0      /* ... but the first one, which starts farthest away, only to this */
#define LAW_FARTHEST 0.95  /* largest share of the way to a refused candidate that is tried next */
#define LAW_FORCE_STEPS 20 /* plain steps before the search */
#define LAW_STILL 1e-14    /* relative change of the force that is none */

LAW_INLINE vec largest(int n, const vec *v)
{
    vec most = splat(0.0);
    for (int i = 0; i < n; i++) most = larger(most, magnitude(v[i]));
    return most;
}

/* Entry of F_aa W (or W F_aa), F_aa of row stride `ld`. */
LAW_INLINE vec stiff(const vec *f, int ld, const vec *c, int n, int diagonal, int i, int j)
{
    if (diagonal) return f[i * ld + j] * c[j * n + j];
    vec sum = splat(0.0);
    for (int k = 0; k < n; k++) sum += f[i * ld + k] * c[k * n + j];
    return sum;
}

LAW_INLINE vec compliant(const vec *f, int ld, const vec *c, int n, int diagonal, int i, int j)
{
    if (diagonal) return c[i * n + i] * f[i * ld + j];
    vec sum = splat(0.0);
    for (int k = 0; k < n; k++) sum += c[i * n + k] * f[k * ld + j];
    return sum;
}

/* W v, one component. */
LAW_INLINE vec moved(const vec *c, int n, int diagonal, const vec *v, int i)
{
    if (diagonal) return c[i * n + i] * v[i];
    vec sum = splat(0.0);
    for (int k = 0; k < n; k++) sum += c[i * n + k] * v[k];
    return sum;
}

/* Size of the equation's terms, 1 + max_i sum_j |W F_aa|_ij scale_j / scale_i. */
LAW_INLINE vec coupling(const law *m, const work *w, int n, int diagonal, const vec *f, int ld)
{
    vec most = splat(0.0);
    for (int i = 0; i < n; i++) {
        vec row = splat(0.0);
        for (int j = 0; j < n; j++)
            row += magnitude(compliant(f, ld, w->compliance, n, diagonal, i, j))
                   * (m->scale[j] / m->scale[i]);
        most = larger(row, most);
    }
    return 1.0 + most;
}

/* F_aa that is kept follows what F_a has changed by since the force before, at which w->held_end and
   w->held_s hold a and F_a: the least symmetric change of F_aa that gives it (Powell 1970). */
LAW_INLINE void follow_slope(const work *w, int n)
{
    vec *move = w->rows, *miss = move + n, square = splat(LAW_TINY), along = splat(0.0);
    for (int i = 0; i < n; i++) {
        move[i] = w->end[i] - w->held_end[i];
        square += move[i] * move[i];
    }
    const vec inverse = 1.0 / square;
    for (int i = 0; i < n; i++) {
        miss[i] = w->gradient[i] - w->held_s[i];
        for (int j = 0; j < n; j++) miss[i] -= w->stiffness[i * n + j] * move[j];
        along += miss[i] * move[i];
    }
    along *= 0.5 * inverse;
    for (int i = 0; i < n; i++) miss[i] = (miss[i] - along * move[i]) * inverse;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) w->stiffness[i * n + j] += miss[i] * move[j] + move[i] * miss[j];
}

/* At the force w->pull: a(q) into w->end, s into w->s, Newton's step -s'^-1 s into w->delta and what it
   does to a into w->step. F_aa is that of the points `fresh`, of others that of before, which follows
   F_a if `follow`. Returns max |s| / theta; infinite where anything is not finite. */
LAW_INLINE vec linearise_body(const law *m, const work *w, int ne, int n, int known, mask fresh, vec dt,
                              int follow)
{
    const int diagonal = known ? 1 : m->diagonal;
    vec every = splat(0.0);
    for (int i = 0; follow && i < n; i++) {
        w->held_end[i] = w->end[i];
        w->held_s[i] = w->gradient[i];
    }
    balance(m, w, ne, n, diagonal, w->pull, dt);
    for (int i = 0; i < n; i++) w->x[ne + i] = w->end[i];
    if (known && n <= 3)
        energy(m, w, ne, n, ne, 0);
    else if (any(fresh))
        energy(m, w, 0, 0, ne, 0);
    else
        internal_slope(m, w, w->x, 0, w->gradient, NULL);
    if (follow) follow_slope(w, n);
    for (int i = 0; i < n * n; i++) w->stiffness[i] = choose(fresh, w->hessian[i], w->stiffness[i]);
    for (int i = 0; i < n; i++) {
        w->s[i] = w->pull[i] + w->gradient[i];
        for (int j = 0; j < n; j++)
            w->system[i * (n + 1) + j] =
                (i == j ? 1.0 : 0.0) + stiff(w->stiffness, n, w->compliance, n, diagonal, i, j);
        w->system[i * (n + 1) + n] = -w->s[i];
    }
    eliminate(w->system, n, n + 1);
    for (int i = 0; i < n; i++) w->delta[i] = w->system[i * (n + 1) + n];
    for (int i = 0; i < n; i++) {
        w->step[i] = moved(w->compliance, n, diagonal, w->delta, i);
        every += magnitude(w->s[i]) + magnitude(w->delta[i]) + magnitude(w->step[i]);
    }
    return choose(is_finite(every), largest(n, w->s) * (1.0 / m->thermal_energy), splat(HUGE_VAL));
}

/* The same for any sizes, compiled once. */
static LAW_NOINLINE void linearise_any(const law *m, const work *w, mask fresh, const vec *dt,
                                       int follow, vec *error)
{
    *error = linearise_body(m, w, m->n_strain, m->n_internal, 0, fresh, *dt, follow);
}

/* The same with loops unrolled where the sizes are known; kept F_aa follows F_a. */
LAW_INLINE vec linearise(const law *m, const work *w, int ne, int n, int known, mask fresh, vec dt)
{
    if (known) return linearise_body(m, w, ne, n, known, fresh, dt, n > 3);
    vec error;
    linearise_any(m, w, fresh, &dt, n > 3, &error);
    return error;
}

/* Whether no component of Newton's step exceeds a limit in units of theta, or round-off. */
LAW_INLINE mask arrives(const law *m, const work *w, int n, vec limit)
{
    mask near = at_most(splat(0.0), splat(0.0));
    for (int i = 0; i < n; i++)
        near &= at_most(magnitude(w->delta[i]),
                        limit * m->thermal_energy + 1e-13 * magnitude(w->pull[i]));
    return near;
}

/* Share of the vector b that a is, by least squares and within (0, 1). */
LAW_INLINE vec share_of(vec product, vec square)
{
    const vec share = product / (square + LAW_TINY);
    return smaller(splat(LAW_FARTHEST), larger(splat(1.0 - LAW_FARTHEST), share));
}

/* Next candidate after a refused one (w->pull, with w->end, w->s, w->fraction): the force whose fractions
   are those at which the linear interpolation of s between it and the accepted force w->best is smallest.
   Means move along the line. */
static LAW_NOINLINE void between(const law *m, const work *w, vec *to)
{
    const int n = m->n_internal;
    vec product = splat(0.0), square = splat(0.0);
    for (int i = 0; i < n; i++) {
        const vec span = w->s[i] - w->held_s[i];
        product -= w->held_s[i] * span;
        square += span * span;
    }
    const vec share = share_of(product, square);
    vec *held = w->rows, *tried = held + n, *wanted = tried + n, *start = wanted + n;
    vec *state = start + n, *a = state + m->n_state;
    mixing_forces(m, w->held_fraction, held);
    mixing_forces(m, w->fraction, tried);
    mixing_forces(m, w->before, start);
    for (int i = 0; i < n; i++) a[i] = w->held_end[i] + share * (w->end[i] - w->held_end[i]);
    fractions(m, a, state);
    mixing_forces(m, state, wanted);
    vec way_product = splat(0.0), way_square = splat(0.0), forces = splat(0.0);
    vec from_held = splat(0.0), from_tried = splat(0.0);
    for (int g = 0; g < m->n_group; g++)
        for (int c = m->first[g]; c < m->first[g] + m->states[g] - 1; c++) {
            const vec span = tried[c] - held[c], gap = w->pull[c] - w->best[c];
            way_product += (wanted[c] - held[c]) * span;
            way_square += span * span;
            forces += gap * gap;
            from_held += (held[c] - start[c]) * (held[c] - start[c]);
            from_tried += (tried[c] - start[c]) * (tried[c] - start[c]);
        }
    /* The logarithms change by half of what the force does, or faster, where the fractions move at all:
       where they change less in all, they do so at the force at which more of the elements have moved. */
    const double units = 1.0 / m->thermal_energy;
    vec way = share_of(way_product * (units * units), way_square * (units * units));
    const vec moving = smaller(splat(1.0), 2.0 * root(way_square) / (root(forces) + LAW_TINY));
    const mask ahead = less(from_held, from_tried);
    way = choose(ahead, 1.0 - moving * (1.0 - way), moving * way);
    for (int i = 0; i < n; i++) to[i] = w->best[i] + way * (w->pull[i] - w->best[i]);
}

/* The points `hard`, which plain steps did not bring home: from the force that keeps a_n as it is. s may
   rise steeply between two forces at which the fractions are saturated, and Newton's method then jumps
   from one to the other; a step that does not bring |s| down is followed by a shorter one. */
static LAW_NOINLINE void search_force(const law *m, const work *w, const vec *increment, mask hard)
{
    const int n = m->n_internal, diagonal = m->diagonal;
    const vec dt = *increment, one = splat(1.0), huge = splat(HUGE_VAL), none = splat(0.0);
    vec error = huge, residual = huge, origin = one, trial;
    vec *next = w->next;
    mixing_forces(m, w->before, w->pull);
    for (int i = 0; i < n; i++) w->best[i] = w->pull[i];
    for (int pass = 0; pass <= LAW_PASSES && any(hard); pass++) {
        linearise_any(m, w, hard, &dt, 0, &trial);
        vec scaled = none;
        for (int i = 0; i < n; i++)
            scaled = larger(magnitude(moved(w->compliance, n, diagonal, w->s, i)) * (1.0 / m->scale[i]),
                            scaled);
        scaled /= coupling(m, w, n, diagonal, w->hessian, n);
        scaled = choose(at_most(trial, splat(LAW_RESOLVED)), scaled, larger(scaled, trial));
        const mask newton_own = less(splat(0.5), origin), again = less(splat(1.5), origin);
        const mask usable = hard & is_finite(trial) & is_finite(scaled);
        const mask better = usable & less(trial, choose(newton_own, LAW_ENOUGH * error, error));
        vec distance = none;
        for (int i = 0; i < n; i++)
            distance = larger(distance, magnitude(w->pull[i] - w->best[i]));
        const mask still = at_most(distance, LAW_STILL * (largest(n, w->best) + distance));
        const mask stalled = hard & ~better
                             & (at_most(residual, splat(LAW_CLOSE)) | still | ~is_finite(error));
        const mask home = better & arrives(m, w, n, splat(1e-6));
        if (any((mask)(hard & ~better & ~stalled))) between(m, w, next);
        const mask estimate = newton_own & ~again & is_finite(trial);
        const vec shorter = choose(again, splat(0.5), splat(0.25));
        for (int i = 0; i < n; i++) {
            const vec nearer = choose(estimate, next[i], w->best[i] + shorter * (w->pull[i] - w->best[i]));
            const vec force = w->pull[i] + w->delta[i];
            w->solution[i] = choose(
                better, w->end[i] + choose(at_most(scaled, splat(LAW_CLOSE)), w->step[i], none),
                w->solution[i]);
            w->held_end[i] = choose(better, w->end[i], w->held_end[i]);
            w->held_s[i] = choose(better, w->s[i], w->held_s[i]);
            w->best[i] = choose(better, w->pull[i], w->best[i]);
            w->pull[i] = choose(better, force, nearer);
        }
        for (int s = 0; s < m->n_state; s++)
            w->held_fraction[s] = choose(better, w->fraction[s], w->held_fraction[s]);
        origin = choose(better, choose(newton_own, one, splat(2.0)), none);
        error = choose(better, trial, error);
        residual = choose(better, scaled, residual);
        hard &= ~(stalled | home);
    }
}

#endif
