/* Populations among the internal variables: fractions of states, what their forces make of them in an
   implicit step, mixing entropy. Symbols as in CONVENTIONS.md: G = -F_a, y = (G_i - G_j) / 2 theta. */
#ifndef LAW_POPULATIONS_H
#define LAW_POPULATIONS_H

#include "law_potentials.h"

#define LAW_TINY 1e-300      /* least fraction and denominator */
#define LAW_ROUND_OFF 1e-9   /* a state whose fractions are negative by more than this is no state */
#define LAW_LARGEST_LOG 700.0 /* of a rate or of e^y; what is larger overflows and is refused */

LAW_INLINE vec positive(vec p) { return larger(splat(LAW_TINY), p); }

/* Fractions of all states at the internal variables a; returns the least of them. */
LAW_INLINE vec fractions(const law *m, const vec *a, vec *p)
{
    vec least = splat(1.0);
    for (int g = 0; g < m->n_group; g++) {
        vec rest = splat(1.0), sum = splat(0.0);
        for (int s = 1; s < m->states[g]; s++) {
            const int c = m->first[g] + s - 1;
            rest -= m->rest[c];
            sum += a[c];
            p[s] = m->rest[c] + a[c];
            least = smaller(p[s], least);
        }
        p[0] = rest - sum;
        least = smaller(p[0], least);
        p += m->states[g];
    }
    return least;
}

/* Take the round-off off `a` that makes a fraction negative; returns the least fraction it had. */
static LAW_NOINLINE void put_within(const law *m, const work *w, vec *a, vec *least)
{
    vec *p = w->fraction;
    *least = fractions(m, a, p);
    const mask outside = less(*least, splat(0.0));
    if (!any(outside)) return;
    for (int g = 0; g < m->n_group; g++) {
        vec sum = splat(0.0);
        for (int s = 0; s < m->states[g]; s++) sum += larger(splat(0.0), p[s]);
        for (int s = 1; s < m->states[g]; s++) {
            const int c = m->first[g] + s - 1;
            a[c] = choose(outside, larger(splat(0.0), p[s]) / sum - m->rest[c], a[c]);
        }
        p += m->states[g];
    }
}

/* to_c = theta ln(p_s / p_0) of the components of populations, 0 of means. */
static LAW_NOINLINE void mixing_forces(const law *m, const vec *p, vec *to)
{
    for (int i = 0; i < m->n_mean; i++) to[m->mean[i]] = splat(0.0);
    for (int g = 0; g < m->n_group; g++) {
        const vec first = logarithm(positive(p[0]));
        for (int s = 1; s < m->states[g]; s++)
            to[m->first[g] + s - 1] = m->thermal_energy * (logarithm(positive(p[s])) - first);
        p += m->states[g];
    }
}

/* theta sum p ln p. */
static LAW_NOINLINE void mixing_entropy(const law *m, const vec *p, vec *value)
{
    vec sum = splat(0.0);
    for (int s = 0; s < m->n_state; s++) {
        const vec q = positive(p[s]);
        sum += q * logarithm(q);
    }
    *value = m->thermal_energy * sum;
}

/* Of a table of rates at |y| the cubic of the last interval that begins at or before it, less h(y). */
static LAW_NOINLINE void from_table(const law *m, vec drive, double b, vec *value)
{
    const vec size = magnitude(drive);
    for (int i = 0; i < LAW_LANES; i++) {
        const double y = LANE(size, i);
        int low = 0, high = m->n_table; /* the interval is one of low ... high - 1 */
        while (high - low > 1) {
            const int middle = (low + high) / 2;
            if (m->table[5 * middle] <= y)
                low = middle;
            else
                high = middle;
        }
        const double *row = m->table + 5 * low, t = y - row[0];
        LANE(*value, i) = row[1] + t * (row[2] + t * (row[3] + t * row[4]));
    }
    *value -= b - root(size * size + b * b);
}

/* exp(h + y), exp(h - y) and dh/dy of h(y) = b - sqrt(y^2 + b^2), without cancellation. */
LAW_INLINE void hyperbola(double b, vec y, vec *up, vec *down, vec *slope)
{
    const vec size = magnitude(y), r = root(size * size + b * b);
    const vec with = exponential(b - b * b / (r + size)), against = exponential(b - (r + size));
    const mask negative = less(y, splat(0.0));
    *up = choose(negative, against, with);
    *down = choose(negative, with, against);
    *slope = -y / r;
}

/* Rates of the pair k at y over the step, k' e^y and k' e^-y, and d ln k' / dy. With the sigmoid c,
   k' e^y = k_0 e^b c(y - b) c(y + b) where rates saturate at b, so that no logarithm is needed. */
LAW_INLINE void pair_rates(const law *m, const work *w, int k, vec y, vec dt, vec *there, vec *back,
                           vec *rise)
{
    const vec rate = dt * w->pair_rate[k];
    if (m->n_table) {
        vec up, down;
        hyperbola(m->barrier[k], y, &up, &down, rise);
        *there = rate * up;
        *back = rate * down;
    } else if (m->barrier) {
        vec above, below, beyond, before;
        sigmoid(y - m->barrier[k], &above, &below);
        sigmoid(y + m->barrier[k], &beyond, &before);
        *there = rate * (above * beyond);
        *back = rate * (below * before);
        *rise = before - above;
    } else {
        const mask bounded = at_most(magnitude(y), splat(LAW_LARGEST_LOG));
        *there = rate * choose(bounded, exponential(y), splat(HUGE_VAL));
        *back = rate * choose(bounded, exponential(-y), splat(HUGE_VAL));
        *rise = splat(0.0);
    }
}

/* Numbers >= 0 with the derivatives of their logarithm, `size` vec each: that of a sum is a weighted
   mean, so that nothing cancels. */
LAW_INLINE void add_to(vec *a, const vec *b, int size)
{
    const vec total = a[0] + b[0], inverse = 1.0 / positive(total);
    for (int c = 1; c < size; c++) a[c] = (a[0] * a[c] + b[0] * b[c]) * inverse;
    a[0] = total;
}

LAW_INLINE void add_product(vec *to, const vec *a, const vec *b, vec *t, int size)
{
    t[0] = a[0] * b[0];
    for (int c = 1; c < size; c++) t[c] = a[c] + b[c];
    add_to(to, t, size);
}

LAW_INLINE void divide_by(vec *a, const vec *b, int size)
{
    a[0] /= b[0];
    for (int c = 1; c < size; c++) a[c] -= b[c];
}

/* The step of a population of more than two states: p_s + sum_j (a_js p_s - a_sj p_j) = b_s is solved
   state by state with sums of positive terms only (Grassmann, Taksar & Heyman 1985). `first`: of its
   components, b and p its states, `pair` its first pair. */
static LAW_NOINLINE void several_states(const law *m, const work *w, int group, const vec *b, vec *p,
                                        int pair, const vec *force, const vec *increment)
{
    const int states = m->states[group], first = m->first[group], n = m->n_internal;
    const int size = states; /* a value and states - 1 derivatives */
    const double half = 0.5 / m->thermal_energy;
    vec *flow = w->elimination, *source = flow + states * states * size;
    vec *remains = source + states * size, *leaving = remains + states * size;
    vec *value = leaving + states * size, *t = value + states * size, *share = t + size;
#define FLOW(i, j) (flow + ((i) * states + (j)) * size) /* from j to i */
    for (int i = 0; i < states; i++)
        for (int j = i + 1; j < states; j++, pair++) {
            const vec gi = i ? force[first + i - 1] : splat(0.0), gj = force[first + j - 1];
            vec *there = FLOW(i, j), *back = FLOW(j, i), rise;
            pair_rates(m, w, pair, half * (gi - gj), *increment, there, back, &rise);
            for (int c = 1; c < states; c++) {
                const double slope = half * ((c == i) - (c == j));
                there[c] = (rise + 1.0) * slope;
                back[c] = (rise - 1.0) * slope;
            }
        }
    for (int s = 0; s < states; s++)
        for (int c = 0; c < size; c++) {
            source[s * size + c] = c ? splat(0.0) : b[s];
            remains[s * size + c] = leaving[s * size + c] = splat(c ? 0.0 : 1.0);
        }
    for (int k = states - 1; k > 0; k--) {
        vec *leave = leaving + k * size, *stays = share;
        for (int c = 0; c < size; c++) leave[c] = remains[k * size + c];
        for (int i = 0; i < k; i++) add_to(leave, FLOW(i, k), size);
        for (int i = 0; i < k; i++) {
            for (int c = 0; c < size; c++) share[c] = FLOW(i, k)[c];
            divide_by(share, leave, size);
            add_product(source + i * size, share, source + k * size, t, size);
            for (int j = 0; j < k; j++)
                if (j != i) add_product(FLOW(i, j), share, FLOW(k, j), t, size);
        }
        for (int c = 0; c < size; c++) stays[c] = remains[k * size + c];
        divide_by(stays, leave, size);
        for (int j = 0; j < k; j++) add_product(remains + j * size, stays, FLOW(k, j), t, size);
    }
    for (int k = 0; k < states; k++) {
        vec *v = value + k * size;
        for (int c = 0; c < size; c++) v[c] = source[k * size + c];
        for (int j = 0; j < k; j++) add_product(v, FLOW(k, j), value + j * size, t, size);
        divide_by(v, k ? leaving + k * size : remains, size);
        p[k] = v[0];
        for (int c = 1; k && c < states; c++)
            w->compliance[(first + k - 1) * n + first + c - 1] = v[0] * v[c];
    }
#undef FLOW
}

/* Means at their forces: explicit, a + dt phi'. */
static LAW_NOINLINE void step_means(const law *m, const work *w, const vec *force,
                                    const vec *increment)
{
    const int ne = m->n_strain, n = m->n_internal, means = m->n_mean;
    for (int i = 0; i < means; i++) w->force[i] = force[m->mean[i]];
    dissipation(m, w, means);
    for (int i = 0; i < means; i++) {
        w->end[m->mean[i]] = w->old[ne + m->mean[i]] + *increment * w->rate[i];
        for (int j = 0; j < means; j++)
            w->compliance[m->mean[i] * n + m->mean[j]] = *increment * w->curvature[i * means + j];
    }
}

/* Solve a - a_n = dt da/dt(a, force), linear in fractions: a into w->end, all fractions to their last
   digits into w->fraction, da/dforce into w->compliance. No fraction is negative or above 1. */
LAW_INLINE void balance(const law *m, const work *w, int ne, int n, int diagonal, const vec *force,
                        vec dt)
{
    const double half = 0.5 / m->thermal_energy;
    const vec *b = w->before;
    vec *p = w->fraction;
    if (!diagonal)
        for (int i = 0; i < n * n; i++) w->compliance[i] = splat(0.0);
    for (int g = 0, pair = 0; g < m->n_group; g++) {
        const int states = diagonal ? 2 : m->states[g], c = m->first[g];
        if (states == 2) {
            vec there, back, rise;
            pair_rates(m, w, pair, -half * force[c], dt, &there, &back, &rise);
            const vec inverse = 1.0 / (1.0 + (there + back));
            p[0] = (b[0] + there) * inverse;
            p[1] = (b[1] + back) * inverse;
            w->compliance[c * n + c] = half * ((back * inverse) * (1.0 - rise) * p[0]
                                               + (there * inverse) * (1.0 + rise) * p[1]);
        } else {
            several_states(m, w, g, b, p, pair, force, &dt);
        }
        for (int s = 1; s < states; s++)
            w->end[c + s - 1] = w->old[ne + c + s - 1] + (p[s] - b[s]);
        pair += states * (states - 1) / 2;
        b += states;
        p += states;
    }
    if (!diagonal && m->n_mean) step_means(m, w, force, &dt);
}

/* What is frozen over a step, from the state w->old with the slope F_a there: k_0 e^b of every pair, and
   mobility and amplitudes of the means. */
static LAW_NOINLINE void freeze(const law *m, const work *w, const vec *slope)
{
    const int d = m->n_strain + m->n_internal;
    if (m->n_mean) context(m, w);
    for (int b = 0; b < d; b++) w->context_a[b] = w->old[b];
    vec *drive = w->context_a + d;
    for (int g = 0, k = 0; g < m->n_group; g++)
        for (int i = 0; i < m->states[g]; i++)
            for (int j = i + 1; j < m->states[g]; j++, k++) {
                const vec own = i ? slope[m->first[g] + i - 1] : splat(0.0);
                drive[k] = (slope[m->first[g] + j - 1] - own) * (1.0 / m->thermal_energy);
                if (m->n_table) from_table(m, 0.5 * drive[k], m->barrier[k], w->pair_rate + k);
            }
    const vec *out = tanh_network(w, m->n_rate, m->rate_width, m->rate_weight, m->rate_bias,
                                  d + m->n_pair);
    for (int k = 0; k < m->n_pair; k++) {
        const vec power = m->n_table ? out[k] + w->pair_rate[k]
                          : m->barrier ? out[k] + m->barrier[k] : out[k];
        const mask bounded = at_most(power, splat(LAW_LARGEST_LOG));
        w->pair_rate[k] = choose(bounded, exponential(power), splat(HUGE_VAL));
    }
}

/* The slope F_a at x, and F if asked for, without second derivatives; to the last bit that of energy. */
static LAW_NOINLINE void internal_slope(const law *m, const work *w, const vec *x, int want_value,
                                        vec *slope, vec *value)
{
    const int ne = m->n_strain, n = m->n_internal, d = ne + n;
    vec f = splat(m->constant);
    for (int c = want_value ? 0 : ne; c < d; c++) {
        vec sum = splat(m->linear[c]);
        for (int b = 0; b < d; b++) sum += m->quadratic[c * d + b] * x[b];
        f += 0.5 * x[c] * (m->linear[c] + sum);
        if (c >= ne) slope[c - ne] = sum;
    }
    for (int l = 0; l < m->n_layers; l++) {
        vec *z = w->z[l];
        for (int i = 0; i < m->width[l]; i++) z[i] = splat(m->bias[l][i]);
        multiply(m->width[l], d, m->skip[l], x, z, 1);
        if (l > 0) multiply(m->width[l], m->width[l - 1], m->hidden[l], w->in, z, 1);
        if (l < m->n_layers - 1 || want_value)
            softplus_layer(m->width[l], 1, z, w->sig[l], w->com[l], w->in);
        else
            sigmoid_layer(m->width[l], 1, z, w->sig[l], w->com[l]);
        if (l == m->n_layers - 1 && want_value)
            for (int i = 0; i < m->width[l]; i++) f += m->output[i] * w->in[i];
    }
    for (int l = m->n_layers - 1; l >= 0; l--) {
        const int width = m->width[l], last = l == m->n_layers - 1;
        vec *a = w->sig[l];
        for (int i = 0; i < width; i++) a[i] *= last ? splat(m->output[i]) : w->bar[i];
        for (int c = 0; c < n; c++) {
            vec sum = slope[c];
            for (int i = 0; i < width; i++) sum += m->skip[l][i * d + ne + c] * a[i];
            slope[c] = sum;
        }
        if (l > 0) multiply_transposed(width, m->width[l - 1], m->hidden[l], a, w->bar);
    }
    if (want_value) *value = f;
}

#endif
