/* Derivatives of one step with respect to its inputs, by the implicit function theorem at the state that
   a step has found. With A(q; x_n, dt) the internal variables at the force q = -F_a(e, a) and W = dA/dq,

       a = A(-F_a(e, a); x_n, dt),
       (I + W F_aa) da = -W F_ae de + A_x dx_n + A_t d(dt),      ds = F_ee de + F_ea da,

   x_n = (strain_old, statev). A = a_n + dt phi'(q; x_n) of means and of convex potentials, so that
   W = dt phi''; A_x has the derivatives of the networks that are frozen over the step. */
#ifndef LAW_DERIVATIVES_H
#define LAW_DERIVATIVES_H

/* Arrays of one block, behind those of the step. r = 1 + d: a value and its derivatives by x_n. */
typedef struct {
    vec *in, *out;         /* layers of a network, r columns */
    vec *slope;            /* F_ax at the start of the step, (n, d) */
    vec *pair;             /* of ln k', (pairs, d) */
    vec *context;          /* outputs of the context network, (outputs, r) */
    vec *given;            /* A_x and A_t, (n, d + 1) */
    vec *balance;          /* of the states of one population */
    vec *system, *strain;  /* (n, n + columns), (n_strain, columns) */
    vec *state;            /* (n, columns) */
    vec *pull, *compliance; /* q and W of a law without populations, whose step has no place for them */
} derivatives;

/* Columns of all derivatives: strain, strain_old, statev, dt. */
LAW_INLINE int derivative_columns(const law *m) { return 2 * m->n_strain + m->n_internal + 1; }

static int64_t lay_out_derivatives(derivatives *t, const law *m, vec *base)
{
    const int64_t e = m->n_strain, n = m->n_internal, d = e + n, r = 1 + d, q = 2 * e + n + 1;
    const int64_t states = m->most_states, outputs = m->n_context ? m->context_width[m->n_context - 1] : 0;
    int64_t widest = d + m->n_pair, used = 0;
    for (int l = 0; l < m->n_context; l++)
        widest = m->context_width[l] > widest ? m->context_width[l] : widest;
    for (int l = 0; l < m->n_rate; l++) widest = m->rate_width[l] > widest ? m->rate_width[l] : widest;
#define TAKE(place, number)                                                                        \
    do {                                                                                           \
        if (base) (place) = base + used;                                                           \
        used += (number);                                                                          \
    } while (0)
    TAKE(t->in, widest * r);
    TAKE(t->out, widest * r);
    TAKE(t->slope, n * d);
    TAKE(t->pair, m->n_pair * d);
    TAKE(t->context, outputs * r);
    TAKE(t->given, n * (d + 1));
    TAKE(t->balance, states * (states + d + 1));
    TAKE(t->system, n * (n + q));
    TAKE(t->strain, e * q);
    TAKE(t->state, n * q);
    TAKE(t->pull, n);
    TAKE(t->compliance, n * n);
#undef TAKE
    return used;
}

/* Number of doubles in the workspace of ibvonn_update_derivatives, or a negative code. */
LAW_API int64_t ibvonn_derivative_workspace(const int64_t *sizes, int64_t n_sizes)
{
    law m;
    derivatives t;
    const int64_t step = ibvonn_workspace(sizes, n_sizes);
    if (step < 0) return step;
    bind(&m, sizes, n_sizes, NULL);
    return step + lay_out_derivatives(&t, &m, NULL) * LAW_LANES;
}

/* A tanh network, the last layer linear, of t->in with the derivatives of its inputs; returns where its
   outputs lie. */
static vec *network_derivatives(const derivatives *t, int layers, const int *width,
                                const double *const *weight, const double *const *bias, int columns, int r)
{
    vec *in = t->in, *out = t->out;
    for (int l = 0; l < layers; l++) {
        const int rows = width[l];
        for (int i = 0; i < rows; i++)
            for (int c = 0; c < r; c++) out[i * r + c] = splat(c ? 0.0 : bias[l][i]);
        multiply(rows, columns, weight[l], in, out, r);
        if (l < layers - 1)
            for (int i = 0; i < rows; i++) {
                const vec value = tangent_hyperbolic(out[i * r]), slope = 1.0 - value * value;
                out[i * r] = value;
                for (int c = 1; c < r; c++) out[i * r + c] *= slope;
            }
        vec *swap = in;
        in = out;
        out = swap;
        columns = rows;
    }
    return in;
}

/* x_n and its derivatives, the identity, as the first inputs of a network. */
static void start_inputs(const work *w, const derivatives *t, int d)
{
    const int r = 1 + d;
    for (int b = 0; b < d; b++) {
        t->in[b * r] = w->old[b];
        for (int c = 0; c < d; c++) t->in[b * r + 1 + c] = splat(b == c ? 1.0 : 0.0);
    }
}

#ifdef LAW_HAS_POPULATIONS
/* Slope by y of what from_table gives: of a cubic of |y|, less that of h(y). */
static void table_slope(const law *m, const vec *drive, double b, vec *slope)
{
    const vec y = 0.5 * *drive;
    *slope = y / root(y * y + b * b);
    for (int i = 0; i < LAW_LANES; i++) {
        const double size = fabs(LANE(y, i));
        int low = 0;
        while (low + 1 < m->n_table && m->table[5 * (low + 1)] <= size) low++;
        const double *row = m->table + 5 * low, t = size - row[0];
        const double rise = row[2] + t * (2.0 * row[3] + t * 3.0 * row[4]);
        LANE(*slope, i) += LANE(y, i) < 0.0 ? -rise : rise;
    }
}

/* Derivatives of ln k' of every pair by x_n, through F_ax at x_n, too. */
static void pair_derivatives(const law *m, const work *w, const derivatives *t)
{
    const int d = m->n_strain + m->n_internal, r = 1 + d;
    const double unit = 1.0 / m->thermal_energy;
    const vec *slope = w->gradient + m->n_strain;
    start_inputs(w, t, d);
    vec *drive = t->in + d * r;
    for (int g = 0, k = 0; g < m->n_group; g++)
        for (int i = 0; i < m->states[g]; i++)
            for (int j = i + 1; j < m->states[g]; j++, drive += r, k++) {
                const int a = m->first[g] + i - 1, b = m->first[g] + j - 1;
                drive[0] = (slope[b] - (i ? slope[a] : splat(0.0))) * unit;
                for (int c = 0; c < d; c++)
                    drive[1 + c] = (t->slope[b * d + c] - (i ? t->slope[a * d + c] : splat(0.0))) * unit;
                vec rise = splat(0.0);
                if (m->n_table) table_slope(m, drive, m->barrier[k], &rise);
                for (int c = 0; c < d; c++) t->pair[k * d + c] = 0.5 * rise * drive[1 + c];
            }
    const vec *out = network_derivatives(t, m->n_rate, m->rate_width, m->rate_weight, m->rate_bias,
                                         d + m->n_pair, r);
    for (int k = 0; k < m->n_pair; k++)
        for (int c = 0; c < d; c++) t->pair[k * d + c] += out[k * r + 1 + c];
}

/* A_x and A_t of populations, whose fractions p solve p_i + sum_j (a_ji p_i - a_ij p_j) = b_i. */
static void given_populations(const law *m, const work *w, const derivatives *t, const vec *increment)
{
    const vec dt = *increment;
    const int ne = m->n_strain, d = ne + m->n_internal;
    const double half = 0.5 / m->thermal_energy;
    const vec *p = w->fraction;
    for (int g = 0, k = 0; g < m->n_group; g++) {
        const int states = m->states[g], first = m->first[g], columns = states + d + 1;
        vec *a = t->balance;
        for (int i = 0; i < states; i++)
            for (int c = 0; c < columns; c++) a[i * columns + c] = splat(c == i ? 1.0 : 0.0);
        for (int s = 1; s < states; s++) {
            a[states + ne + first + s - 1] = splat(-1.0);
            a[s * columns + states + ne + first + s - 1] = splat(1.0);
        }
        for (int i = 0; i < states; i++)
            for (int j = i + 1; j < states; j++, k++) {
                const vec own = i ? w->pull[first + i - 1] : splat(0.0);
                vec there, back, rise;
                pair_rates(m, w, k, half * (own - w->pull[first + j - 1]), splat(1.0), &there, &back, &rise);
                const vec flow = there * p[j] - back * p[i];
                vec *row = a + i * columns, *other = a + j * columns;
                row[i] += dt * back;
                other[i] -= dt * back;
                other[j] += dt * there;
                row[j] -= dt * there;
                for (int c = 0; c < d; c++) {
                    row[states + c] += dt * flow * t->pair[k * d + c];
                    other[states + c] -= dt * flow * t->pair[k * d + c];
                }
                row[states + d] += flow;
                other[states + d] -= flow;
            }
        eliminate(a, states, columns);
        for (int s = 1; s < states; s++)
            for (int c = 0; c <= d; c++)
                t->given[(first + s - 1) * (d + 1) + c] = a[s * columns + states + c];
        p += states;
    }
}
#endif

/* A_x and A_t of means, with phi' and its networks at the force w->force. */
static void given_means(const law *m, const work *w, const derivatives *t, const vec *increment)
{
    const vec dt = *increment;
    const int ne = m->n_strain, d = ne + m->n_internal, r = 1 + d, n = m->n_mean, k = m->n_ridge;
    const int triangle = n * (n + 1) / 2;
    start_inputs(w, t, d);
    const vec *out = network_derivatives(t, m->n_context, m->context_width, m->context_weight,
                                         m->context_bias, d, r);
    vec *o = t->context;
    for (int i = 0; i < (triangle + k) * r; i++) o[i] = out[i];
    for (int i = 0; i < n; i++) { /* the diagonal is an exponential */
        vec *entry = o + (i * (i + 1) / 2 + i) * r;
        entry[0] = exponential(entry[0]);
        for (int c = 1; c < r; c++) entry[c] *= entry[0];
    }
    for (int i = 0; i < n; i++) {
        const int own = m->n_group ? m->mean[i] : i;
        vec *to = t->given + own * (d + 1);
        for (int c = 0; c < d; c++) {
            vec sum = splat(0.0);
            for (int l = 0; l < n; l++) { /* d(Lambda Lambda') g, column l of Lambda */
                vec pull = splat(0.0), change = splat(0.0);
                for (int j = l; j < n; j++) {
                    const vec *entry = o + (j * (j + 1) / 2 + l) * r;
                    pull += entry[0] * w->force[j];
                    change += entry[1 + c] * w->force[j];
                }
                if (l <= i) {
                    const vec *entry = o + (i * (i + 1) / 2 + l) * r;
                    sum += entry[1 + c] * pull + entry[0] * change;
                }
            }
            for (int j = 0; j < k; j++)
                sum += m->ridge_weight[j * n + i] * w->ridge_sig[j] * o[(triangle + j) * r + 1 + c];
            to[c] = dt * sum + (c == ne + own ? 1.0 : 0.0);
        }
        to[d] = w->rate[i];
    }
}

static void derivatives_block(const law *m, const work *w, const derivatives *t, const double *const *in,
                              int64_t dt_stride, double *stress, double *statev, int64_t begin, int count)
{
    const int ne = m->n_strain, n = m->n_internal, d = ne + n, q = derivative_columns(m);
    const vec zero = splat(0.0);
    mask overflow = less(zero, zero);
    vec dt, unused;
    gather(in[4], begin, count, dt_stride, &dt, 1);
    gather(in[1], begin, count, ne, w->old, ne);
    gather(in[2], begin, count, n, w->old + ne, n);
    mask valid = at_most(dt, splat(LAW_LONGEST_STEP)) & at_most(zero, dt);
    for (int c = 0; c < d; c++) valid &= is_finite(w->old[c]);
#ifdef LAW_HAS_POPULATIONS
    if (m->n_group) {
        vec least;
        put_within(m, w, w->old + ne, &least);
        valid &= at_most(splat(-LAW_ROUND_OFF), least);
        for (int c = 0; c < d; c++) w->x[c] = w->old[c];
        energy_any(m, w, 0, 0, &unused);
        for (int i = 0; i < n * d; i++) t->slope[i] = w->hessian[ne * d + i];
        freeze(m, w, w->gradient + ne);
        pair_derivatives(m, w, t);
        fractions(m, w->old + ne, w->before);
        for (int s = 0; s < m->n_state; s++) w->before[s] = larger(zero, w->before[s]);
    } else
#endif
        context(m, w);
    gather(in[0], begin, count, ne, w->x, ne);
    gather(in[3], begin, count, n, w->x + ne, n);
    for (int c = 0; c < d; c++) valid &= is_finite(w->x[c]);
    energy_any(m, w, 0, 0, &unused);
    const vec *h = w->hessian;
    for (int i = 0; i < n; i++) w->pull[i] = -w->gradient[ne + i];
#ifdef LAW_HAS_POPULATIONS
    if (m->n_group) {
        balance(m, w, ne, n, 0, w->pull, dt);
        given_populations(m, w, t, &dt);
    } else
#endif
    {
        for (int i = 0; i < n; i++) w->force[i] = w->pull[i];
        dissipation(m, w, n);
        for (int i = 0; i < n * n; i++) w->compliance[i] = dt * w->curvature[i];
    }
    if (m->n_mean) given_means(m, w, t, &dt);
    for (int i = 0; i < n; i++) {
        vec *row = t->system + i * (n + q);
        for (int j = 0; j < d; j++) { /* W F_ax */
            vec sum = zero;
            for (int k = 0; k < n; k++) sum += w->compliance[i * n + k] * h[(ne + k) * d + j];
            if (j < ne)
                row[n + j] = -sum;
            else
                row[j - ne] = sum + (i == j - ne ? 1.0 : 0.0);
        }
        for (int c = 0; c <= d; c++) row[n + ne + c] = t->given[i * (d + 1) + c];
    }
    eliminate(t->system, n, n + q);
    for (int i = 0; i < n; i++)
        for (int c = 0; c < q; c++) t->state[i * q + c] = t->system[i * (n + q) + n + c];
    for (int b = 0; b < ne; b++)
        for (int c = 0; c < q; c++) {
            vec sum = c < ne ? h[b * d + c] : zero;
            for (int i = 0; i < n; i++) sum += h[b * d + ne + i] * t->state[i * q + c];
            t->strain[b * q + c] = sum;
        }
    put(stress, begin, count, t->strain, ne * q, valid, &overflow);
    put(statev, begin, count, t->state, n * q, valid, &overflow);
}

/* Derivatives of stress (n_points, n_strain, columns) and statev_new (n_points, n_internal, columns) by
   strain, strain_old, statev and dt, in this order of columns, at the statev_new that ibvonn_update
   gave. NaN where an input is not finite. */
LAW_API int ibvonn_update_derivatives(const int64_t *sizes, int64_t n_sizes, const double *weights,
                                      int64_t n_weights, double *workspace, int64_t n_workspace,
                                      int64_t n_points, const double *strain, const double *strain_old,
                                      const double *statev, const double *statev_new, const double *dt,
                                      int64_t dt_stride, double *stress, double *statev_out)
{
    law m;
    work w;
    derivatives t;
    const int code = prepare(&m, &w, sizes, n_sizes, weights, n_weights, workspace, n_workspace);
    if (code != LAW_OK) return code;
    if (ibvonn_derivative_workspace(sizes, n_sizes) > n_workspace) return LAW_WORKSPACE;
    if (n_points < 0 || dt_stride < 0 || dt_stride > 1) return LAW_POINTS;
    if (n_points == 0) return LAW_OK;
    if (!strain || !strain_old || !statev || !statev_new || !dt || !stress || !statev_out) return LAW_NULL;
    vec *behind = w.old + lay_out(&w, &m, NULL); /* w.old is the first array of the step */
    lay_out_derivatives(&t, &m, behind);
    if (!m.n_group) {
        w.pull = t.pull;
        w.compliance = t.compliance;
    }
    const double *const in[5] = {strain, strain_old, statev, statev_new, dt};
    for (int64_t begin = 0; begin < n_points; begin += LAW_LANES) {
        const int count = (int)(n_points - begin < LAW_LANES ? n_points - begin : LAW_LANES);
        derivatives_block(&m, &w, &t, in, dt_stride, stress, statev_out, begin, count);
    }
    return LAW_OK;
}

#endif
