/* The local problem of one step,

       r(a) = a - a_n - dt phi'(-f_a(e, a); e_n, a_n) = 0,   J = dr/da = I + dt phi'' f_aa,

   solved on a block of points. */
#ifndef LAW_NEWTON_H
#define LAW_NEWTON_H

#include "law_potentials.h"

#define LAW_PLAIN_STEPS 12 /* Newton corrections without a safeguard, each halving |r| */
#define LAW_SEARCH_STEPS 300
#define LAW_FULL_STEPS 20

/* Factor phi'' = L L'. A pivot lost to round-off switches its direction off. */
LAW_INLINE void factor_curvature(const work *w, int n)
{
    vec *l = w->chol;
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
}

/* Gain K = dt L (I + dt L' F L)^-1 L'. The bracket has eigenvalues >= 1, so its Cholesky factor R
   needs no pivoting. `f`: f_aa with row stride `ld`. */
LAW_INLINE void solve_gain(const work *w, int n, const vec *f, int ld, vec dt)
{
    vec *l = w->chol, *b = w->inner, *s = w->solve;
    if (n == 1) {
        const vec p = dt * w->curvature[0];
        w->gain[0] = p / (1.0 + p * f[0]);
        return;
    }
    factor_curvature(w, n);
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
    for (int j = 0; j < n; j++) { /* R in place of b; the diagonal holds 1 / R_jj */
        vec pivot = b[j * n + j];
        for (int k = 0; k < j; k++) pivot -= b[j * n + k] * b[j * n + k];
        const vec inverse = 1.0 / root(larger(splat(1.0), pivot));
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

/* r, K and the Newton correction delta = -J^-1 r = -(I - K F) r at the state x, from the force;
   returns max |r_i| / scale_i. */
LAW_INLINE vec newton(const law *m, const work *w, int ne, int n, const vec *f, int ld, vec dt)
{
    vec size = splat(0.0);
    dissipation(m, w, n);
    solve_gain(w, n, f, ld, dt);
    for (int i = 0; i < n; i++) {
        const vec r = (w->x[ne + i] - w->old[ne + i]) - dt * w->rate[i];
        w->residual[i] = r;
        size = larger(size, magnitude(r) * (1.0 / m->scale[i]));
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

/* Largest component of the Newton correction, relative to the state. */
LAW_INLINE vec correction_size(const law *m, const work *w, int ne, int n)
{
    vec size = splat(0.0);
    for (int i = 0; i < n; i++)
        size = larger(size, magnitude(w->delta[i]) / (m->scale[i] + magnitude(w->x[ne + i])));
    return size;
}

/* Newton's method for the points `hard`, which plain corrections did not bring home: start again at
   a_n and accept a step a + t delta where the dual incremental energy

       T(a) = dt phi(g) - g.(a - a_n) - f(e, a),   g = -f_a(e, a),   dT/da = f_aa r,

   falls: it is least at the solution and falls along every Newton correction, while |r| may fall on
   the way to nowhere. Close to the solution T is flat to round-off and |r| decides. */
static LAW_NOINLINE void search(const law *m, const work *w, const vec *increment, mask hard)
{
    const int ne = m->n_strain, n = m->n_internal;
    const vec dt = *increment, zero = splat(0.0), one = splat(1.0), huge = splat(LAW_HUGE);
    vec fraction = one, dual = huge, slope = zero, error = huge, backward = huge;
    for (int i = 0; i < n; i++) {
        w->x[ne + i] = choose(hard, w->old[ne + i], w->x[ne + i]);
        w->base[i] = w->old[ne + i];
        w->step[i] = zero;
    }
    for (int iteration = 0; iteration < LAW_SEARCH_STEPS && any(hard); iteration++) {
        vec f, potential, trial_slope = zero;
        energy_any(m, w, ne, 1, &f);
        for (int i = 0; i < n; i++) w->force[i] = -w->gradient[i];
        const vec size = newton(m, w, ne, n, w->hessian, n, dt);
        dissipation_value(m, w, w->force, &potential);
        vec trial = dt * potential - f;
        for (int i = 0; i < n; i++) {
            vec turn = zero;
            for (int k = 0; k < n; k++) turn += w->hessian[i * n + k] * w->residual[k];
            trial_slope += turn * w->delta[i];
            trial -= w->force[i] * (w->x[ne + i] - w->old[ne + i]);
        }
        const mask close = at_most(backward, splat(1e-6));
        const mask usable = hard & is_finite(size) & is_finite(trial) & is_finite(trial_slope);
        const mask lower = at_most(trial, dual + 1e-4 * fraction * slope + 1e-14 * magnitude(dual));
        const mask accept = usable & ((lower & ~close) | (less(size, error) & close));
        const mask small = accept & at_most(correction_size(m, w, ne, n), splat(1e-6));
        dual = choose(accept, trial, dual);
        slope = choose(accept, trial_slope, slope);
        error = choose(accept, size, error);
        backward = choose(accept, size / equation_size(m, w, n, w->hessian, n, dt), backward);
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
