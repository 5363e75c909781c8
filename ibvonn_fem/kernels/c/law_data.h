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

/* Where the pieces of one law lie in the array of weights. */
typedef struct {
    int n_strain, n_internal, n_layers, n_context, n_ridge;
    int width[LAW_MAX_LAYERS], context_width[LAW_MAX_LAYERS];
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
} work;

static const double *take_weights(const double **cursor, int64_t count)
{
    const double *start = *cursor;
    *cursor += count;
    return start;
}

/* Read the sizes; `weights` may be null to count only. Returns the number of weights, or < 0. */
static int64_t bind(law *m, const int64_t *sizes, int64_t n_sizes, const double *weights)
{
    if (n_sizes < 5) return LAW_SIZES;
    const int64_t limit[5] = {LAW_MAX_STATE, LAW_MAX_STATE, LAW_MAX_LAYERS, LAW_MAX_LAYERS,
                              LAW_MAX_WIDTH};
    for (int i = 0; i < 5; i++) {
        const int64_t least = (i == 2 || i == 4) ? 0 : 1;
        if (sizes[i] < least || sizes[i] > limit[i]) return LAW_SIZES;
    }
    if (n_sizes != 5 + sizes[2] + sizes[3] - 1) return LAW_SIZES;
    for (int64_t i = 5; i < n_sizes; i++)
        if (sizes[i] < 1 || sizes[i] > LAW_MAX_WIDTH) return LAW_SIZES;

    static const double origin = 0.0;
    const double *cursor = weights ? weights : &origin;
    int64_t count = 0;
    memset(m, 0, sizeof *m);
    m->n_strain = (int)sizes[0];
    m->n_internal = (int)sizes[1];
    m->n_layers = (int)sizes[2];
    m->n_context = (int)sizes[3];
    m->n_ridge = (int)sizes[4];
    const int64_t d = sizes[0] + sizes[1], n = sizes[1], k = sizes[4];
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
    TAKE(m->ridge_weight, k * n);
    TAKE(m->ridge_bias, k);
    int64_t columns = d;
    for (int l = 0; l < m->n_context; l++) {
        const int last = l == m->n_context - 1;
        const int64_t rows = last ? n * (n + 1) / 2 + k : sizes[5 + m->n_layers + l];
        m->context_width[l] = (int)rows;
        TAKE(m->context_weight[l], rows * columns);
        TAKE(m->context_bias[l], rows);
        columns = rows;
    }
    TAKE(m->scale, n);
    TAKE(m->envelope, 2 * d);
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
    TAKE(w->system, n * d);
    TAKE(w->tangent, e * e);
#undef TAKE
    return used;
}

#endif
