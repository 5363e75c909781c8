/* The local problem of one step,

       r(a) = a - a_n - dt phi'(-f_a(e, a); e_n, a_n) = 0,   J = dr/da = I + dt phi'' f_aa,

   solved on a block of points. */
#ifndef LAW_NEWTON_H
#define LAW_NEWTON_H

#include "law_potentials.h"

#define LAW_PLAIN_STEPS 12 /* Newton corrections without a safeguard, each halving |r| */
#define LAW_SEARCH_STEPS 300
#define LAW_FULL_STEPS 20
#define LAW_LONGEST_STEP 1e100 /* a longer time step is refused: products with it overflow */

/* Solve a[., 0..n-1] y = a[., n..columns-1] by elimination with row pivoting; y replaces the right-hand
   sides. Pivots are a lane's own. */
LAW_INLINE void eliminate(vec *a, int n, int columns)
{
    for (int j = 0; j < n; j++) {
        vec *pivot = a + j * columns;
        for (int i = j + 1; i < n; i++) {
            vec *row = a + i * columns;
            const mask swap = less(magnitude(pivot[j]), magnitude(row[j]));
            if (any(swap))
                for (int c = j; c < columns; c++) {
                    const vec held = pivot[c];
                    pivot[c] = choose(swap, row[c], held);
                    row[c] = choose(swap, held, row[c]);
                }
        }
        pivot[j] = 1.0 / pivot[j];
        for (int i = j + 1; i < n; i++) {
            vec *row = a + i * columns;
            const vec factor = row[j] * pivot[j];
            for (int c = j + 1; c < columns; c++) row[c] -= factor * pivot[c];
        }
    }
    for (int j = n - 1; j >= 0; j--)
        for (int c = n; c < columns; c++) {
            vec sum = a[j * columns + c];
            for (int k = j + 1; k < n; k++) sum -= a[j * columns + k] * a[k * columns + c];
            a[j * columns + c] = sum * a[j * columns + j];
        }
}

/* J = I + dt phi'' f_aa into the first n columns of w->system. `f`: f_aa with row stride `ld`. */
LAW_INLINE void set_jacobian(const work *w, int n, int columns, const vec *f, int ld, vec dt)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            vec sum = splat(0.0);
            for (int k = 0; k < n; k++) sum += w->curvature[i * n + k] * f[k * ld + j];
            w->system[i * columns + j] = (i == j ? 1.0 : 0.0) + dt * sum;
        }
}

/* r and the Newton correction delta = -J^-1 r at the state x, from the force; returns
   max |r_i| / scale_i. */
LAW_INLINE vec newton_body(const law *m, const work *w, int ne, int n, const vec *f, int ld, vec dt)
{
    vec size = splat(0.0);
    dissipation(m, w, n);
    set_jacobian(w, n, n + 1, f, ld, dt);
    for (int i = 0; i < n; i++) {
        const vec r = (w->x[ne + i] - w->old[ne + i]) - dt * w->rate[i];
        w->residual[i] = r;
        w->system[i * (n + 1) + n] = -r;
        size = larger(size, magnitude(r) * (1.0 / m->scale[i]));
    }
    eliminate(w->system, n, n + 1);
    for (int i = 0; i < n; i++) w->delta[i] = w->system[i * (n + 1) + n];
    return size;
}

/* The same for any sizes, compiled once. */
static LAW_NOINLINE void newton_any(const law *m, const work *w, const vec *f, int ld, const vec *dt,
                                    vec *size)
{
    *size = newton_body(m, w, m->n_strain, m->n_internal, f, ld, *dt);
}

/* The same with loops unrolled where the sizes are known (ne > 0). */
LAW_INLINE vec newton(const law *m, const work *w, int ne, int n, const vec *f, int ld, vec dt)
{
    if (ne > 0) return newton_body(m, w, ne, n, f, ld, dt);
    vec size;
    newton_any(m, w, f, ld, &dt, &size);
    return size;
}

/* J^-1 dt phi'' f_ae, n rows of ne columns from w->system + n on with row stride n + ne; f_ee, f_ea
   and f_aa being in the hessian. */
LAW_INLINE void internal_response(const work *w, int ne, int n, vec dt)
{
    const int d = ne + n;
    set_jacobian(w, n, d, w->hessian + ne * d + ne, d, dt);
    for (int i = 0; i < n; i++)
        for (int c = 0; c < ne; c++) {
            vec sum = splat(0.0);
            for (int k = 0; k < n; k++) sum += w->curvature[i * n + k] * w->hessian[(ne + k) * d + c];
            w->system[i * d + n + c] = dt * sum;
        }
    eliminate(w->system, n, d);
}

/* Size of the equation's terms, 1 + max_i sum_j |dt phi'' F|_ij scale_j / scale_i. */
LAW_INLINE vec equation_size(const law *m, const work *w, int n, const vec *f, int ld, vec dt)
{
    vec size = splat(0.0);
    for (int i = 0; i < n; i++) {
        vec row = splat(0.0);
        for (int j = 0; j < n; j++) {
            vec sum = splat(0.0);
            for (int k = 0; k < n; k++) sum += w->curvature[i * n + k] * f[k * ld + j];
            row += magnitude(dt * sum) * (m->scale[j] / m->scale[i]);
        }
        size = larger(size, row);
    }
    return 1.0 + size;
}

/* Largest component of the Newton correction over the scale plus `weight` times the state. */
LAW_INLINE vec correction_size(const law *m, const work *w, int ne, int n, double weight)
{
    vec size = splat(0.0);
    for (int i = 0; i < n; i++) {
        const vec whole = m->scale[i] + weight * magnitude(w->x[ne + i]);
        size = larger(size, magnitude(w->delta[i]) / whole);
    }
    return size;
}

/* Newton's method for the points `hard`, which plain corrections did not bring home: start again at
   a_n and accept a step a + t delta where the dual incremental energy

       T(a) = dt phi(g) - g.(a - a_n) - f(e, a),   g = -f_a(e, a),   dT/da = f_aa r,

   falls by 1e-4 of what its slope promises: T is least at the solution and falls along every Newton
   correction, while |r| may fall without a solution ahead. Where the promised decrease is below 1e-10 of
   the terms of T, it no longer resolves it and |r| decides. */
static LAW_NOINLINE void search(const law *m, const work *w, const vec *increment, mask hard)
{
    const int ne = m->n_strain, n = m->n_internal;
    const vec dt = *increment, zero = splat(0.0), one = splat(1.0), huge = splat(LAW_HUGE);
    vec fraction = one, dual = huge, slope = -huge, noise = zero;
    vec error = huge;
    for (int i = 0; i < n; i++) {
        w->x[ne + i] = choose(hard, w->old[ne + i], w->x[ne + i]);
        w->base[i] = w->old[ne + i];
        w->step[i] = zero;
    }
    for (int iteration = 0; iteration < LAW_SEARCH_STEPS && any(hard); iteration++) {
        vec f, potential, cancelled, trial_slope = zero;
        energy_any(m, w, ne, 1, &f);
        for (int i = 0; i < n; i++) w->force[i] = -w->gradient[i];
        const vec size = newton(m, w, 0, 0, w->hessian, n, dt);
        dissipation_terms(m, w, &cancelled);
        dissipation_value(m, w, w->force, &potential);
        vec trial = dt * potential - f;
        vec terms = magnitude(f) + fabs(m->constant) + dt * (potential + cancelled);
        for (int i = 0; i < n; i++) {
            vec turn = zero;
            for (int k = 0; k < n; k++) turn += w->hessian[i * n + k] * w->residual[k];
            trial_slope += turn * w->delta[i];
            const vec released = w->force[i] * (w->x[ne + i] - w->old[ne + i]);
            trial -= released;
            terms += magnitude(released);
        }
        const mask close = at_most(-slope, 1e-10 * noise);
        const mask usable = hard & is_finite(size) & is_finite(trial) & is_finite(trial_slope);
        const mask lower = at_most(trial, dual + 1e-4 * fraction * slope + 1e-14 * noise);
        const mask accept = usable & ((lower & ~close) | (less(size, error) & close));
        const mask small = accept & at_most(correction_size(m, w, ne, n, 1.0), splat(1e-6));
        dual = choose(accept, trial, dual);
        slope = choose(accept, trial_slope, slope);
        noise = choose(accept, terms, noise);
        error = choose(accept, size, error);
        const mask stuck = hard & ~accept & (less(fraction, splat(1e-9)) | at_most(huge, error));
        fraction = choose(accept, smaller(one, 4.0 * fraction), 0.25 * fraction);
        hard &= ~(small | stuck);
        for (int i = 0; i < n; i++) {
            vec *x = &w->x[ne + i];
            w->base[i] = choose(accept, *x, w->base[i]);
            w->step[i] = choose(accept, w->delta[i], w->step[i]);
            const vec next = w->base[i] + choose(small, one, fraction) * w->step[i];
            *x = choose(hard | small, next, choose(stuck, w->base[i], *x));
        }
    }
}

#endif
