/* One backward Euler step of a law with convex potentials or with populations, at a batch of points.

   Energy f(x) and dual dissipation potential phi(g; x_n), x = (strain, internal), are those of
   "parameters.npz" in CONVENTIONS.md; so are the outputs. C99 and libm only, float64, no allocation,
   no globals, no files: weights and sizes are data, the caller owns every array, so any number of
   threads may call with workspaces of their own. */
#include "law_newton.h"
#include "law_outputs.h"

#ifndef LAW_API
#define LAW_API
#endif

/* LAW_KIND: of a file with one law, which of the loops below serves it; the rest is left out. */
#define LAW_POPULATIONS 100
#if !defined(LAW_KIND) || LAW_KIND >= LAW_POPULATIONS
#define LAW_HAS_POPULATIONS
#include "law_population_step.h"
#endif
#if !defined(LAW_KIND) || LAW_KIND < LAW_POPULATIONS
#define LAW_HAS_POTENTIALS

/* Outputs at the state x of the last evaluation (all first and second derivatives in gradient and
   hessian), moved by the last Newton correction to first order. */
static LAW_NOINLINE void finish(const law *m, const work *w, const arguments *io, int64_t begin,
                                int count, mask valid, const vec *increment, const vec *energies,
                                const vec *error)
{
    const int ne = m->n_strain, n = m->n_internal, d = ne + n;
    const vec *h = w->hessian, dt = *increment, f_start = energies[0];
    const mask small = at_most(correction_size(m, w, ne, n, 1.0), splat(1e-6));
    mask overflow = less(splat(0.0), splat(0.0));
    vec f = energies[1], released = splat(0.0), potential;
    for (int i = 0; i < n; i++) {
        w->delta[i] = choose(small, w->delta[i], splat(0.0));
        w->x[ne + i] += w->delta[i];
        f -= w->force[i] * w->delta[i];
    }
    for (int i = 0; i < n; i++) {
        w->step[i] = w->force[i];
        for (int k = 0; k < n; k++) w->step[i] -= h[(ne + i) * d + ne + k] * w->delta[k];
        released += w->step[i] * (w->x[ne + i] - w->old[ne + i]);
    }
    dissipation_value(m, w, w->step, &potential);
    internal_response(w, ne, n, dt);
    for (int c = 0; c < ne; c++) {
        for (int i = 0; i < n; i++) w->gradient[c] += h[c * d + ne + i] * w->delta[i];
        for (int b = 0; b <= c; b++) {
            vec sum = splat(0.0); /* symmetric but for round-off */
            for (int i = 0; i < n; i++)
                sum += h[c * d + ne + i] * w->system[i * d + n + b]
                       + h[b * d + ne + i] * w->system[i * d + n + c];
            w->tangent[c * ne + b] = w->tangent[b * ne + c] = h[c * d + b] - 0.5 * sum;
        }
    }
    vec outside = excursion(m, w, d), output = f;
    const vec bound = f + released - dt * potential;
    const vec slack = 1e-9 * (magnitude(f) + magnitude(f_start) + magnitude(released)
                              + splat(fabs(m->constant)));
    put(io->stress, begin, count, w->gradient, ne, valid, &overflow);
    put(io->statev_new, begin, count, w->x + ne, n, valid, &overflow);
    put(io->tangent, begin, count, w->tangent, ne * ne, valid, &overflow);
    put(io->energy, begin, count, &output, 1, valid, &overflow);
    put(io->dissipation, begin, count, &released, 1, valid, &overflow);
    put(io->validity, begin, count, &outside, 1, valid, &overflow);
    const mask stable = at_most(bound, f_start + slack) & ~overflow;
    output = choose(stable, *error, splat(HUGE_VAL));
    put(io->residual, begin, count, &output, 1, valid, &overflow);
}

/* The step at the points begin .. begin + count - 1. (1, 1) and (1, 2) are compiled with their sizes
   known, any other with known_ne = known_n = 0.

   Plain Newton corrections with f_aa alone until they fall below 1e-6, else a search; then
   evaluations of everything until they fall below 1e-12, the last correction (the polishing step)
   being applied to first order. Every decision is a lane's own. */
LAW_INLINE void update_block(const law *m, const work *w, int known_ne, int known_n,
                             const arguments *io, int64_t begin, int count)
{
    const int ne = known_ne ? known_ne : m->n_strain, n = known_n ? known_n : m->n_internal;
    const int d = ne + n;
    const vec zero = splat(0.0);
    vec dt, energies[2], previous = splat(HUGE_VAL);
    gather(io->dt, begin, count, io->dt_stride, &dt, 1);
    gather(io->strain_old, begin, count, ne, w->old, ne);
    gather(io->statev, begin, count, n, w->old + ne, n);
    gather(io->strain, begin, count, ne, w->x, ne);
    mask valid = at_most(dt, splat(LAW_LONGEST_STEP)) & at_most(zero, dt);
    for (int c = 0; c < ne; c++) valid &= is_finite(w->x[c]);
    for (int c = 0; c < d; c++) valid &= is_finite(w->old[c]);
    for (int i = 0; i < n; i++) w->x[ne + i] = w->old[ne + i];
    context(m, w);
    if (io->guess) {
        energy_any(m, w, d, 1, &energies[0]);
        gather(io->guess, begin, count, n, w->x + ne, n); /* not finite: the search starts anew */
    }

    mask todo = valid, hard = less(zero, zero);
    for (int iteration = 0; any(todo); iteration++) {
        const int start = iteration == 0 && !io->guess;
        const vec value = energy(m, w, known_ne, known_n, ne, start);
        if (start) energies[0] = value;
        for (int i = 0; i < n; i++) w->force[i] = -w->gradient[i];
        const vec size = newton(m, w, known_ne, known_n, w->hessian, n, dt);
        const mask small = at_most(correction_size(m, w, ne, n, 1.0), splat(1e-6));
        const mask halved = at_most(size, 0.5 * previous) & is_finite(size);
        for (int i = 0; i < n; i++)
            w->x[ne + i] += choose(todo & (halved | small), w->delta[i], zero);
        hard |= todo & ~(halved | small);
        todo &= halved & ~small;
        previous = size;
        if (iteration == LAW_PLAIN_STEPS) {
            hard |= todo;
            break;
        }
    }
    if (any(hard)) search(m, w, &dt, hard);

    vec error;
    todo = valid;
    previous = splat(HUGE_VAL);
    for (int iteration = 0;; iteration++) {
        energies[1] = energy(m, w, known_ne, known_n, 0, 1);
        for (int i = 0; i < n; i++) w->force[i] = -w->gradient[ne + i];
        error = newton(m, w, known_ne, known_n, w->hessian + ne * d + ne, d, dt);
        const vec largest = correction_size(m, w, ne, n, 0.0);
        todo &= less(splat(1e-12), largest) & less(largest, 0.5 * previous);
        previous = largest;
        if (iteration == LAW_FULL_STEPS || !any(todo)) break;
        for (int i = 0; i < n; i++) w->x[ne + i] += choose(todo, w->delta[i], zero);
    }
    const vec terms = equation_size(m, w, n, w->hessian + ne * d + ne, d, dt);
    error = choose(is_finite(terms), error / terms, splat(HUGE_VAL)); /* else any error is small */
    finish(m, w, io, begin, count, valid, &dt, energies, &error);
}

/* The law in continuous time at w->old = w->x: energy, stress and forces as of f, rate into w->rate. */
static LAW_NOINLINE void potential_rates(const law *m, const work *w, vec *f)
{
    const int ne = m->n_strain, n = m->n_internal;
    context(m, w);
    energy_any(m, w, 0, 1, f);
    for (int i = 0; i < n; i++) w->force[i] = -w->gradient[ne + i];
    dissipation(m, w, n);
}
#endif /* LAW_HAS_POTENTIALS */

#ifdef LAW_KIND
LAW_INLINE int kind_of(const law *m)
{
    (void)m;
    return LAW_KIND;
}
#else
/* n of (1, n) with convex potentials, 100 + n of n strains and n populations of two states; 0 and 100
   are loops for any sizes. */
LAW_INLINE int kind_of(const law *m)
{
    const int n = m->n_internal;
    if (!m->n_group) return m->n_strain == 1 && n <= 2 ? n : 0;
    const int known = m->diagonal && m->n_strain == n && (n == 1 || n == 3 || n == 6);
    return LAW_POPULATIONS + (known ? n : 0);
}
#endif

static void update_blocks(const law *m, const work *w, const arguments *io, int64_t n_points)
{
    const int kind = kind_of(m);
    for (int64_t begin = 0; begin < n_points; begin += LAW_LANES) {
        const int count = (int)(n_points - begin < LAW_LANES ? n_points - begin : LAW_LANES);
        switch (kind) {
#ifdef LAW_HAS_POTENTIALS
        case 0: update_block(m, w, 0, 0, io, begin, count); break;
        case 1: update_block(m, w, 1, 1, io, begin, count); break;
        case 2: update_block(m, w, 1, 2, io, begin, count); break;
#endif
#ifdef LAW_HAS_POPULATIONS
        case LAW_POPULATIONS: population_block(m, w, 0, 0, io, begin, count); break;
        case LAW_POPULATIONS + 1: population_block(m, w, 1, 1, io, begin, count); break;
        case LAW_POPULATIONS + 3: population_block(m, w, 3, 3, io, begin, count); break;
        case LAW_POPULATIONS + 6: population_block(m, w, 6, 6, io, begin, count); break;
#endif
        default: break;
        }
    }
}

/* Sizes: n_strain, n_internal, L, M, K, then the L widths of f and the M - 1 hidden widths of the
   context network. Weights: energy_constant, _linear, _quadratic, then per layer energy_skip,
   _bias and (from the second) _hidden, then energy_output, ridge_weight, ridge_bias, then per layer
   context_weight and context_bias, then internal_scale and envelope; matrices row by row.

   Of a law with populations follow the sizes R (layers of the network of rates), 1 where rates saturate,
   2 where they have a table, or 0, the number of populations, the R - 1 hidden widths, and first component and number of states of each
   population, the number of intervals of a table; the weights thermal_energy, rest, then per layer rate_weight and rate_bias, then
   rate_barrier where rates saturate or have a table, and rate_table. M and K are then those of the means, 0 where there are none. */

/* Number of weights that the sizes ask for, or a negative code. */
LAW_API int64_t ibvonn_weight_count(const int64_t *sizes, int64_t n_sizes)
{
    law m;
    return sizes ? bind(&m, sizes, n_sizes, NULL) : LAW_NULL;
}

/* Number of doubles in the workspace of one thread, or a negative code. */
LAW_API int64_t ibvonn_workspace(const int64_t *sizes, int64_t n_sizes)
{
    law m;
    work w;
    if (!sizes) return LAW_NULL;
    const int64_t count = bind(&m, sizes, n_sizes, NULL);
    return count < 0 ? count : (lay_out(&w, &m, NULL) + 1) * LAW_LANES;
}

/* Bind law and workspace; the workspace is aligned here, one vec of it is slack. */
static int prepare(law *m, work *w, const int64_t *sizes, int64_t n_sizes, const double *weights,
                   int64_t n_weights, double *workspace, int64_t n_workspace)
{
    if (!sizes || !weights || !workspace) return LAW_NULL;
    if (!arithmetic_holds()) return LAW_ARITHMETIC;
    const int64_t count = bind(m, sizes, n_sizes, weights);
    if (count < 0) return (int)count;
    if (count != n_weights) return LAW_WEIGHTS;
    if ((lay_out(w, m, NULL) + 1) * LAW_LANES > n_workspace) return LAW_WORKSPACE;
    const uintptr_t size = sizeof(vec), address = (uintptr_t)workspace;
    lay_out(w, m, (vec *)(void *)(workspace + (size - address % size) % size / sizeof(double)));
    for (int k = 0; k < m->n_ridge; k++) w->bias[k] = splat(m->ridge_bias[k]);
    softplus_layer(m->n_ridge, 1, w->bias, w->rest_sig, w->rest_com, w->rest_plus);
    return LAW_OK;
}

/* One step at n_points points. Arrays are row-major with points first; dt has one entry (dt_stride
   0) or one per point (1); guess, the first iterate of statev_new, may be null. Outputs must not
   overlap inputs. Returns LAW_OK, or a negative code with nothing written. */
LAW_API int ibvonn_update(const int64_t *sizes, int64_t n_sizes, const double *weights,
                          int64_t n_weights, double *workspace, int64_t n_workspace,
                          int64_t n_points, const double *strain, const double *strain_old,
                          const double *statev, const double *dt, int64_t dt_stride,
                          const double *guess, double *stress, double *statev_new, double *tangent,
                          double *energy_out, double *dissipation_out, double *residual,
                          double *validity)
{
    law m;
    work w;
    const int code = prepare(&m, &w, sizes, n_sizes, weights, n_weights, workspace, n_workspace);
    if (code != LAW_OK) return code;
    if (n_points < 0 || dt_stride < 0 || dt_stride > 1) return LAW_POINTS;
    if (n_points == 0) return LAW_OK;
    if (!strain || !strain_old || !statev || !dt || !stress || !statev_new || !tangent || !energy_out
        || !dissipation_out || !residual || !validity)
        return LAW_NULL;
    const arguments io = {strain, strain_old, statev, dt, guess, dt_stride, stress, statev_new,
                          tangent, energy_out, dissipation_out, residual, validity};
    update_blocks(&m, &w, &io, n_points);
    return LAW_OK;
}

/* The law in continuous time: energy, stress, driving force -f_a and rate phi'(-f_a; strain, statev);
   NaN where an input is not finite. */
LAW_API int ibvonn_rates(const int64_t *sizes, int64_t n_sizes, const double *weights,
                         int64_t n_weights, double *workspace, int64_t n_workspace,
                         int64_t n_points, const double *strain, const double *statev,
                         double *energy_out, double *stress, double *driving_force, double *rate)
{
    law m;
    work w;
    const int code = prepare(&m, &w, sizes, n_sizes, weights, n_weights, workspace, n_workspace);
    if (code != LAW_OK) return code;
    if (n_points < 0) return LAW_POINTS;
    if (n_points == 0) return LAW_OK;
    if (!strain || !statev || !energy_out || !stress || !driving_force || !rate) return LAW_NULL;
    const int ne = m.n_strain, n = m.n_internal, d = ne + n;
    for (int64_t begin = 0; begin < n_points; begin += LAW_LANES) {
        const int count = (int)(n_points - begin < LAW_LANES ? n_points - begin : LAW_LANES);
        mask valid = at_most(splat(0.0), splat(0.0)), overflow = less(splat(0.0), splat(0.0));
        gather(strain, begin, count, ne, w.x, ne);
        gather(statev, begin, count, n, w.x + ne, n);
        for (int c = 0; c < d; c++) {
            w.old[c] = w.x[c];
            valid &= is_finite(w.x[c]);
        }
        vec f;
#ifdef LAW_HAS_POPULATIONS
        if (m.n_group) population_rates(&m, &w, &f);
#endif
#ifdef LAW_HAS_POTENTIALS
        if (!m.n_group) potential_rates(&m, &w, &f);
#endif
        put(energy_out, begin, count, &f, 1, valid, &overflow);
        put(stress, begin, count, w.gradient, ne, valid, &overflow);
        put(driving_force, begin, count, w.force, n, valid, &overflow);
        put(rate, begin, count, w.rate, n, valid, &overflow);
    }
    return LAW_OK;
}

#include "law_directions.h"
#include "law_derivatives.h"
