/* One law as plain data, and the arrays of one block of points. */
#ifndef LAW_DATA_H
#define LAW_DATA_H

#include "law_lanes.h"

#define LAW_MAX_LAYERS 8
#define LAW_MAX_WIDTH 1024
#define LAW_MAX_STATE 64

enum {
    LAW_OK = 0,
    LAW_NULL = -1,
    LAW_SIZES = -2,
    LAW_WEIGHTS = -3,
    LAW_POINTS = -4,
    LAW_WORKSPACE = -5,
    LAW_ARITHMETIC = -6 /* the compiler's flags break the arithmetic */
};

/* Where the pieces of one law lie in the array of weights. A law without populations has n_group = 0
   and as many means as internal variables. */
typedef struct {
    int n_strain, n_internal, n_layers, n_context, n_ridge, n_mean;
    int width[LAW_MAX_LAYERS], context_width[LAW_MAX_LAYERS];
    int n_group, n_state, n_pair, n_rate, most_states, diagonal; /* diagonal: all of two states, no means */
    int rate_width[LAW_MAX_LAYERS], first[LAW_MAX_STATE], states[LAW_MAX_STATE];
    int mean[LAW_MAX_STATE];
    double thermal_energy;
    int n_table; /* intervals of a table of rates */
    const double *rest, *barrier, *table, *rate_weight[LAW_MAX_LAYERS], *rate_bias[LAW_MAX_LAYERS];
    double constant;
    const double *linear, *quadratic, *output, *ridge_weight, *ridge_bias, *scale, *envelope;
    const double *skip[LAW_MAX_LAYERS], *bias[LAW_MAX_LAYERS], *hidden[LAW_MAX_LAYERS];
    const double *context_weight[LAW_MAX_LAYERS], *context_bias[LAW_MAX_LAYERS];
} law;

/* Arrays of one block. r: number of right-hand sides, 1 + d. */
typedef struct {
    vec *old, *x, *base, *delta, *step;                /* states and Newton corrections */
    vec *z[LAW_MAX_LAYERS], *sig[LAW_MAX_LAYERS], *com[LAW_MAX_LAYERS];
    vec *in, *bar, *gradient, *hessian;                /* energy network */
    vec *context_a, *context_b, *mobility, *amplitude; /* frozen at the start of the step */
    vec *bias, *ridge, *ridge_sig, *ridge_com;         /* ridges of the dissipation at g ... */
    vec *rest_sig, *rest_com, *rest_plus;              /* ... and at g = 0 */
    vec *rate, *curvature, *residual, *force;          /* dissipation at g */
    vec *system, *tangent;                             /* local linear algebra */
    vec *before, *fraction, *pair_rate;                 /* populations: states, pairs */
    vec *pull, *end, *compliance, *best, *solution;    /* ... their forces and what these give */
    vec *held_end, *held_fraction, *held_s, *s, *next, *stiffness, *rows, *elimination;
} work;

static const double *take_weights(const double **cursor, int64_t count)
{
    const double *start = *cursor;
    *cursor += count;
    return start;
}

/* Read the populations: sizes from place `at` on. Returns 0, or a negative code. */
static int bind_populations(law *m, const int64_t *sizes, int64_t n_sizes, int64_t at)
{
    char taken[LAW_MAX_STATE] = {0};
    const int64_t hidden = at + 3;
    if (n_sizes < hidden || sizes[at] < 1 || sizes[at] > LAW_MAX_LAYERS) return LAW_SIZES;
    const int64_t groups = sizes[at + 2], list = hidden + sizes[at] - 1;
    if (sizes[at + 1] < 0 || sizes[at + 1] > 2 || groups < 1 || groups > m->n_internal)
        return LAW_SIZES;
    const int table = sizes[at + 1] == 2; /* the last size is the number of its intervals */
    if (n_sizes != list + 2 * groups + table) return LAW_SIZES;
    if (table && (sizes[n_sizes - 1] < 2 || sizes[n_sizes - 1] > LAW_MAX_WIDTH)) return LAW_SIZES;
    m->n_rate = (int)sizes[at];
    m->n_table = table ? (int)sizes[n_sizes - 1] : 0;
    m->n_group = (int)groups;
    for (int64_t g = 0; g < groups; g++) {
        const int64_t first = sizes[list + 2 * g], states = sizes[list + 2 * g + 1];
        if (first < 0 || states < 2 || states > LAW_MAX_STATE + 1
            || first + states - 1 > m->n_internal)
            return LAW_SIZES;
        for (int64_t c = first; c < first + states - 1; c++)
            if (taken[c]++) return LAW_SIZES;
        m->first[g] = (int)first;
        m->states[g] = (int)states;
        m->n_state += (int)states;
        m->n_pair += (int)(states * (states - 1) / 2);
        m->most_states = m->states[g] > m->most_states ? m->states[g] : m->most_states;
    }
    if (m->n_pair > LAW_MAX_WIDTH) return LAW_SIZES;
    m->n_mean = 0;
    for (int c = 0; c < m->n_internal; c++)
        if (!taken[c]) m->mean[m->n_mean++] = c;
    m->diagonal = m->most_states == 2 && m->n_mean == 0;
    for (int l = 0; l < m->n_rate; l++)
        m->rate_width[l] = l == m->n_rate - 1 ? m->n_pair : (int)sizes[hidden + l];
    return LAW_OK;
}

/* Read the sizes; `weights` may be null to count only. Returns the number of weights, or < 0. */
static int64_t bind(law *m, const int64_t *sizes, int64_t n_sizes, const double *weights)
{
    if (n_sizes < 5) return LAW_SIZES;
    const int64_t limit[5] = {LAW_MAX_STATE, LAW_MAX_STATE, LAW_MAX_LAYERS, LAW_MAX_LAYERS,
                              LAW_MAX_WIDTH};
    for (int i = 0; i < 5; i++)
        if (sizes[i] < (i < 2 ? 1 : 0) || sizes[i] > limit[i]) return LAW_SIZES;
    const int64_t at = 5 + sizes[2] + (sizes[3] > 0 ? sizes[3] - 1 : 0);
    if (n_sizes < at) return LAW_SIZES;
    memset(m, 0, sizeof *m);
    m->n_strain = (int)sizes[0];
    m->n_internal = m->n_mean = (int)sizes[1];
    m->n_layers = (int)sizes[2];
    m->n_context = (int)sizes[3];
    m->n_ridge = (int)sizes[4];
    int64_t widths = at;
    if (n_sizes > at) {
        const int code = bind_populations(m, sizes, n_sizes, at);
        if (code != LAW_OK) return code;
        widths = at + 3 + m->n_rate - 1;
    }
    if ((m->n_mean > 0) != (m->n_context > 0) || (!m->n_mean && m->n_ridge)) return LAW_SIZES;
    for (int64_t i = 5; i < widths; i++)
        if ((i < at || i >= at + 3) && (sizes[i] < 1 || sizes[i] > LAW_MAX_WIDTH)) return LAW_SIZES;

    static const double origin = 0.0;
    const double *cursor = weights ? weights : &origin;
    int64_t count = 0;
    const int64_t d = sizes[0] + sizes[1], n = sizes[1], k = sizes[4], means = m->n_mean;
#define TAKE(place, number)                                                                        \
    do {                                                                                           \
        const int64_t number_ = (number);                                                          \
        if (weights) (place) = take_weights(&cursor, number_);                                     \
        count += number_;                                                                          \
    } while (0)
    const double *constant = &origin;
    TAKE(constant, 1);
    m->constant = *constant;
    TAKE(m->linear, d);
    TAKE(m->quadratic, d * d);
    for (int l = 0; l < m->n_layers; l++) {
        m->width[l] = (int)sizes[5 + l];
        TAKE(m->skip[l], m->width[l] * d);
        TAKE(m->bias[l], m->width[l]);
        if (l > 0) TAKE(m->hidden[l], (int64_t)m->width[l] * m->width[l - 1]);
    }
    TAKE(m->output, m->n_layers ? m->width[m->n_layers - 1] : 0);
    TAKE(m->ridge_weight, k * means);
    TAKE(m->ridge_bias, k);
    int64_t columns = d;
    for (int l = 0; l < m->n_context; l++) {
        const int last = l == m->n_context - 1;
        const int64_t rows = last ? means * (means + 1) / 2 + k : sizes[5 + m->n_layers + l];
        m->context_width[l] = (int)rows;
        TAKE(m->context_weight[l], rows * columns);
        TAKE(m->context_bias[l], rows);
        columns = rows;
    }
    TAKE(m->scale, n);
    TAKE(m->envelope, 2 * d);
    if (m->n_group) {
        const double *thermal_energy = &origin;
        TAKE(thermal_energy, 1);
        m->thermal_energy = *thermal_energy;
        TAKE(m->rest, n);
        columns = d + m->n_pair;
        for (int l = 0; l < m->n_rate; l++) {
            TAKE(m->rate_weight[l], m->rate_width[l] * columns);
            TAKE(m->rate_bias[l], m->rate_width[l]);
            columns = m->rate_width[l];
        }
        if (sizes[at + 1]) TAKE(m->barrier, m->n_pair);
        TAKE(m->table, 5 * m->n_table);
    }
#undef TAKE
    return count;
}

/* Lay the arrays of a block over `base`; with base null, only count. Returns the number of vec. */
static int64_t lay_out(work *w, const law *m, vec *base)
{
    const int64_t e = m->n_strain, n = m->n_internal, d = e + n, r = 1 + d, k = m->n_ridge;
    int64_t widest = 1, widest_context = d, used = 0;
    for (int l = 0; l < m->n_layers; l++) widest = m->width[l] > widest ? m->width[l] : widest;
    for (int l = 0; l < m->n_context; l++)
        widest_context = m->context_width[l] > widest_context ? m->context_width[l] : widest_context;
    if (m->n_group) widest_context = d + m->n_pair > widest_context ? d + m->n_pair : widest_context;
    for (int l = 0; l < m->n_rate; l++)
        widest_context = m->rate_width[l] > widest_context ? m->rate_width[l] : widest_context;
#define TAKE(place, number)                                                                        \
    do {                                                                                           \
        if (base) (place) = base + used;                                                           \
        used += (number);                                                                          \
    } while (0)
    TAKE(w->old, d);
    TAKE(w->x, d);
    TAKE(w->base, n);
    TAKE(w->delta, n);
    TAKE(w->step, n);
    for (int l = 0; l < m->n_layers; l++) {
        TAKE(w->z[l], m->width[l] * r);
        TAKE(w->sig[l], m->width[l]);
        TAKE(w->com[l], m->width[l]);
    }
    TAKE(w->in, widest * r);
    TAKE(w->bar, widest);
    TAKE(w->gradient, d);
    TAKE(w->hessian, d * d);
    TAKE(w->context_a, widest_context);
    TAKE(w->context_b, widest_context);
    TAKE(w->mobility, n * n);
    TAKE(w->amplitude, k);
    TAKE(w->bias, k);
    TAKE(w->ridge, k);
    TAKE(w->ridge_sig, k);
    TAKE(w->ridge_com, k);
    TAKE(w->rest_sig, k);
    TAKE(w->rest_com, k);
    TAKE(w->rest_plus, k);
    TAKE(w->rate, n);
    TAKE(w->curvature, n * n);
    TAKE(w->residual, n);
    TAKE(w->force, n);
    TAKE(w->system, n * (d + (m->n_group > 0)));
    TAKE(w->tangent, e * e);
    if (!m->n_group) return used;
    const int64_t most = m->most_states > 2 ? m->most_states : 0;
    TAKE(w->before, m->n_state);
    TAKE(w->fraction, m->n_state);
    TAKE(w->pair_rate, m->n_pair);
    TAKE(w->pull, n);
    TAKE(w->end, n);
    TAKE(w->compliance, n * n);
    TAKE(w->best, n);
    TAKE(w->solution, n);
    TAKE(w->s, n);
    TAKE(w->next, n);
    TAKE(w->stiffness, n * n);
    TAKE(w->rows, 5 * n + m->n_state);
    TAKE(w->held_end, n);
    TAKE(w->held_fraction, m->n_state);
    TAKE(w->held_s, n);
    TAKE(w->elimination, most * most * (most + 5));
#undef TAKE
    return used;
}

#endif
