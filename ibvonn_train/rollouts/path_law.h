/* Rates of a law with populations, their derivative by the internal variables, and the adjoint of both.
 *
 * As in PopulationPotentials.relaxation_function: z = (eps, a), F the smooth part of f with the layers
 * y1 = S1 z + b1 and y2 = H s(y1) + S2 z + b2, G = -dF/da, forces G_ij / theta of the pairs of states.
 * Weights are functions of z. X_bar is the derivative of the loss by X.
 */
#include <stdlib.h>

struct law {
    int m, n;                 /* strains and internal variables; d = m + n */
    int width1, width2;       /* units of the layers of F */
    int pairs, rate1, rate2;  /* pairs of states; units of the layers of ln k */
    double theta;
};

/* Weights and their gradients: rows of the linear and quadratic part that belong to a, layers of F,
 * network of ln k, barriers. */
enum {LINEAR, QUADRATIC, SKIP1, BIAS1, SKIP2, BIAS2, HIDDEN, OUTPUT,
      RATE1, SHIFT1, RATE2, SHIFT2, RATE3, SHIFT3, BARRIER, WEIGHTS};

/* Constants: incidence of the pairs; fractions of both states of a pair, affine in a; which a are
 * fractions of one population; which a are fractions. */
enum {INCIDENCE, FIRST, FIRST_OFFSET, SECOND, SECOND_OFFSET, SAME, FRACTION, CONSTANTS};

static int weight_size(const struct law *c, int which) {
    const int d = c->m + c->n, inputs = d + c->pairs;
    const int sizes[WEIGHTS] = {
        c->n, c->n * d, c->width1 * d, c->width1, c->width2 * d, c->width2, c->width2 * c->width1,
        c->width2, c->rate1 * inputs, c->rate1, c->rate2 * c->rate1, c->rate2, c->pairs * c->rate2,
        c->pairs, c->pairs};
    return sizes[which];
}

/* A block of states and what is computed of it. */
struct point {
    vec *z, *inside, *sum;                       /* (eps, a) within bounds; before sums above 1 */
    vec *h1, *u1, *u2, *back1, *delta1, *delta2; /* s(y1), s'(y1), s'(y2), dF/dh1, dF/dy1, dF/dy2 */
    vec *driven, *jacobian;                      /* dh1/da and dy2/da, n rows each */
    vec *force, *hessian;                        /* G and d2F/da2 */
    vec *inputs, *t1, *t2, *log_k, *over, *under; /* of ln k; slopes of its saturation */
    vec *leave, *enter, *first, *second, *response; /* rates out of second and first state; fractions */
    vec *rate, *mobility, *leaving, *slope;      /* adot; M; d adot/da at fixed G; d adot/da */
};

static vec *take(vec **next, int count) {
    vec *here = *next;
    *next += count;
    return here;
}

static void lay_out(const struct law *c, struct point *p, vec **next) {
    const int n = c->n, d = c->m + n;
    p->z = take(next, d), p->inside = take(next, n), p->sum = take(next, n);
    p->h1 = take(next, c->width1), p->u1 = take(next, c->width1), p->u2 = take(next, c->width2);
    p->back1 = take(next, c->width1), p->delta1 = take(next, c->width1);
    p->delta2 = take(next, c->width2);
    p->driven = take(next, n * c->width1), p->jacobian = take(next, n * c->width2);
    p->force = take(next, n), p->hessian = take(next, n * n);
    p->inputs = take(next, d + c->pairs), p->t1 = take(next, c->rate1), p->t2 = take(next, c->rate2);
    p->log_k = take(next, c->pairs), p->over = take(next, c->pairs), p->under = take(next, c->pairs);
    p->leave = take(next, c->pairs), p->enter = take(next, c->pairs);
    p->first = take(next, c->pairs), p->second = take(next, c->pairs);
    p->response = take(next, c->pairs), p->rate = take(next, n), p->mobility = take(next, n * n);
    p->leaving = take(next, n * n), p->slope = take(next, n * n);
}

/* Fractions below 0 are taken as 0, and those of a sum above 1 are scaled to 1. */
static void keep_within(const struct law *c, const double *const *constants, const vec *a,
    struct point *p) {
    const int n = c->n;
    for (int i = 0; i < n; ++i)
        p->inside[i] = constants[FRACTION][i] != 0.0 ? larger(a[i], splat(0.0)) : a[i];
    for (int i = 0; i < n; ++i) {
        vec sum = splat(0.0);
        for (int j = 0; j < n; ++j) sum += constants[SAME][i * n + j] * p->inside[j];
        p->sum[i] = sum;
        p->z[c->m + i] = p->inside[i] / larger(sum, splat(1.0));
    }
}

/* G and d2F/da2. */
static void smooth_energy(const struct law *c, const double *const *w, struct point *p) {
    const int m = c->m, n = c->n, d = m + n, k1 = c->width1, k2 = c->width2;
    multiply(w[SKIP1], w[BIAS1], k1, d, p->z, p->u1);
    for (int k = 0; k < k1; ++k) p->h1[k] = softplus(p->u1[k], &p->u1[k]);
    multiply(w[SKIP2], w[BIAS2], k2, d, p->z, p->u2);
    add_product(w[HIDDEN], k2, k1, p->h1, p->u2);
    for (int k = 0; k < k2; ++k) {
        p->u2[k] = sigmoid(p->u2[k]);
        p->delta2[k] = w[OUTPUT][k] * p->u2[k];
    }
    for (int k = 0; k < k1; ++k) p->back1[k] = splat(0.0);
    add_transposed(w[HIDDEN], k2, k1, p->delta2, p->back1);
    for (int k = 0; k < k1; ++k) p->delta1[k] = p->back1[k] * p->u1[k];
    for (int i = 0; i < n; ++i) {
        vec slope = splat(w[LINEAR][i]);
        for (int j = 0; j < d; ++j) slope += w[QUADRATIC][i * d + j] * p->z[j];
        for (int k = 0; k < k1; ++k) slope += w[SKIP1][k * d + m + i] * p->delta1[k];
        for (int k = 0; k < k2; ++k) slope += w[SKIP2][k * d + m + i] * p->delta2[k];
        p->force[i] = -slope;
        vec *driven = p->driven + i * k1, *jacobian = p->jacobian + i * k2;
        for (int k = 0; k < k1; ++k) driven[k] = w[SKIP1][k * d + m + i] * p->u1[k];
        for (int k = 0; k < k2; ++k) jacobian[k] = splat(w[SKIP2][k * d + m + i]);
        add_product(w[HIDDEN], k2, k1, driven, jacobian);
    }
    for (int i = 0; i < n; ++i)
        for (int j = 0; j <= i; ++j) {
            vec sum = splat(w[QUADRATIC][i * d + m + j]);
            for (int k = 0; k < k1; ++k)
                sum += w[SKIP1][k * d + m + i] * w[SKIP1][k * d + m + j] * p->delta1[k] *
                       (1.0 - p->u1[k]);
            for (int k = 0; k < k2; ++k)
                sum += p->jacobian[i * k2 + k] * p->jacobian[j * k2 + k] * p->delta2[k] *
                       (1.0 - p->u2[k]);
            p->hessian[i * n + j] = p->hessian[j * n + i] = sum;
        }
}

/* Rates of the jumps of every pair. */
static void jumps(const struct law *c, const double *const *w, const double *const *constants,
    struct point *p) {
    const int m = c->m, n = c->n, d = m + n;
    for (int j = 0; j < d; ++j) p->inputs[j] = p->z[j];
    vec *forces = p->inputs + d;
    for (int q = 0; q < c->pairs; ++q) {
        vec force = splat(0.0), first = splat(constants[FIRST_OFFSET][q]);
        vec second = splat(constants[SECOND_OFFSET][q]);
        for (int i = 0; i < n; ++i) {
            force += constants[INCIDENCE][q * n + i] * p->force[i];
            first += constants[FIRST][q * n + i] * p->z[m + i];
            second += constants[SECOND][q * n + i] * p->z[m + i];
        }
        forces[q] = force / c->theta, p->first[q] = first, p->second[q] = second;
    }
    multiply(w[RATE1], w[SHIFT1], c->rate1, d + c->pairs, p->inputs, p->t1);
    for (int k = 0; k < c->rate1; ++k) p->t1[k] = hyperbolic_tangent(p->t1[k]);
    multiply(w[RATE2], w[SHIFT2], c->rate2, c->rate1, p->t1, p->t2);
    for (int k = 0; k < c->rate2; ++k) p->t2[k] = hyperbolic_tangent(p->t2[k]);
    multiply(w[RATE3], w[SHIFT3], c->pairs, c->rate2, p->t2, p->log_k);
    for (int q = 0; q < c->pairs; ++q) {
        const vec half = 0.5 * forces[q];
        const vec log_k = p->log_k[q] - softplus(half - w[BARRIER][q], &p->over[q]) -
                          softplus(-half - w[BARRIER][q], &p->under[q]);
        p->leave[q] = exponential(log_k + half), p->enter[q] = exponential(log_k - half);
        p->response[q] =
            (p->leave[q] * p->second[q] + p->enter[q] * p->first[q]) / (2.0 * c->theta);
    }
}

/* Everything of a point for a within its bounds: adot and its derivative by a. */
static void relax(const struct law *c, const double *const *w, const double *const *constants,
    struct point *p) {
    const int n = c->n;
    smooth_energy(c, w, p);
    jumps(c, w, constants, p);
    for (int i = 0; i < n; ++i) {
        vec rate = splat(0.0);
        for (int q = 0; q < c->pairs; ++q)
            rate += constants[INCIDENCE][q * n + i] *
                    (p->leave[q] * p->second[q] - p->enter[q] * p->first[q]);
        p->rate[i] = rate;
        for (int j = 0; j < n; ++j) {
            vec mobility = splat(0.0), leaving = splat(0.0);
            for (int q = 0; q < c->pairs; ++q) {
                const double own = constants[INCIDENCE][q * n + i];
                mobility += own * constants[INCIDENCE][q * n + j] * p->response[q];
                leaving += own * (constants[SECOND][q * n + j] * p->leave[q] -
                                  constants[FIRST][q * n + j] * p->enter[q]);
            }
            p->mobility[i * n + j] = mobility, p->leaving[i * n + j] = leaving;
        }
    }
    for (int i = 0; i < n; ++i)
        for (int j = 0; j < n; ++j) {
            vec slope = p->leaving[i * n + j];
            for (int k = 0; k < n; ++k) slope -= p->mobility[i * n + k] * p->hessian[k * n + j];
            p->slope[i * n + j] = slope;
        }
}
