/* The adjoint of `relax`, line by line backwards: path_law.h has the names.
 *
 * `g` are gradients by the weights, of every lane; `s` is space for intermediate derivatives.
 */

struct space {
    vec *z, *force, *hessian, *mobility, *symmetric;
    vec *slope1, *slope2, *back1, *delta1, *delta2, *jacobian, *driven; /* by u1, u2 … of F */
    vec *inputs, *t1, *t2, *log_k;
};

static void lay_out_space(const struct law *c, struct space *s, vec **next) {
    const int n = c->n, d = c->m + n;
    s->z = take(next, d), s->force = take(next, n), s->hessian = take(next, n * n);
    s->mobility = take(next, n * n), s->symmetric = take(next, n * n);
    s->slope1 = take(next, c->width1), s->slope2 = take(next, c->width2);
    s->back1 = take(next, c->width1), s->delta1 = take(next, c->width1);
    s->delta2 = take(next, c->width2), s->jacobian = take(next, n * c->width2);
    s->driven = take(next, n * c->width1), s->inputs = take(next, d + c->pairs);
    s->t1 = take(next, c->rate1), s->t2 = take(next, c->rate2), s->log_k = take(next, c->pairs);
}

/* By the rates of the jumps: gives z_bar, force_bar. */
static void jumps_adjoint(const struct law *c, const double *const *w, const double *const *constants,
    const struct point *p, const vec *rate_bar, const vec *slope_bar, struct space *s, vec *const *g) {
    const int m = c->m, n = c->n, d = m + n;
    vec *forces_bar = s->inputs + d;
    for (int j = 0; j < d + c->pairs; ++j) s->inputs[j] = splat(0.0);
    for (int q = 0; q < c->pairs; ++q) {
        const double *own = constants[INCIDENCE] + q * n;
        vec flux = splat(0.0), response = splat(0.0), leave = splat(0.0), enter = splat(0.0);
        for (int i = 0; i < n; ++i) {
            if (own[i] == 0.0) continue;
            flux += own[i] * rate_bar[i];
            for (int j = 0; j < n; ++j) {
                response += own[i] * own[j] * s->mobility[i * n + j];
                leave += own[i] * constants[SECOND][q * n + j] * slope_bar[i * n + j];
                enter -= own[i] * constants[FIRST][q * n + j] * slope_bar[i * n + j];
            }
        }
        const vec shared = response / (2.0 * c->theta);
        leave += (shared + flux) * p->second[q], enter += (shared - flux) * p->first[q];
        const vec second = (shared + flux) * p->leave[q], first = (shared - flux) * p->enter[q];
        for (int i = 0; i < n; ++i)
            s->inputs[m + i] +=
                constants[FIRST][q * n + i] * first + constants[SECOND][q * n + i] * second;
        const vec out = leave * p->leave[q], in = enter * p->enter[q], log_k = out + in;
        forces_bar[q] = 0.5 * (out - in - log_k * (p->over[q] - p->under[q]));
        s->log_k[q] = log_k;
        g[BARRIER][q] += log_k * (p->over[q] + p->under[q]), g[SHIFT3][q] += log_k;
    }
    add_outer(g[RATE3], c->pairs, c->rate2, s->log_k, p->t2);
    for (int k = 0; k < c->rate2; ++k) s->t2[k] = splat(0.0);
    add_transposed(w[RATE3], c->pairs, c->rate2, s->log_k, s->t2);
    for (int k = 0; k < c->rate2; ++k) {
        s->t2[k] *= 1.0 - p->t2[k] * p->t2[k];
        g[SHIFT2][k] += s->t2[k];
    }
    add_outer(g[RATE2], c->rate2, c->rate1, s->t2, p->t1);
    for (int k = 0; k < c->rate1; ++k) s->t1[k] = splat(0.0);
    add_transposed(w[RATE2], c->rate2, c->rate1, s->t2, s->t1);
    for (int k = 0; k < c->rate1; ++k) {
        s->t1[k] *= 1.0 - p->t1[k] * p->t1[k];
        g[SHIFT1][k] += s->t1[k];
    }
    add_outer(g[RATE1], c->rate1, d + c->pairs, s->t1, p->inputs);
    add_transposed(w[RATE1], c->rate1, d + c->pairs, s->t1, s->inputs);
    for (int j = 0; j < d; ++j) s->z[j] = s->inputs[j];
    for (int i = 0; i < n; ++i) {
        s->force[i] = splat(0.0);
        for (int q = 0; q < c->pairs; ++q)
            s->force[i] += constants[INCIDENCE][q * n + i] * forces_bar[q] / c->theta;
    }
}

/* By G and d2F/da2: adds to z_bar. */
static void smooth_energy_adjoint(const struct law *c, const double *const *w, const struct point *p,
    struct space *s, vec *const *g) {
    const int m = c->m, n = c->n, d = m + n, k1 = c->width1, k2 = c->width2;
    for (int i = 0; i < n; ++i)
        for (int j = 0; j < n; ++j) {
            g[QUADRATIC][i * d + m + j] += s->hessian[i * n + j];
            s->symmetric[i * n + j] = s->hessian[i * n + j] + s->hessian[j * n + i];
        }
    /* The second term of the Hessian, sum of kappa P P^T with kappa = v u2 (1 - u2), P = dy2/da. */
    for (int k = 0; k < k2; ++k) {
        const vec curvature = p->delta2[k] * (1.0 - p->u2[k]);
        vec total = splat(0.0);
        for (int i = 0; i < n; ++i) {
            vec sum = splat(0.0);
            for (int j = 0; j < n; ++j) sum += s->symmetric[i * n + j] * p->jacobian[j * k2 + k];
            total += 0.5 * sum * p->jacobian[i * k2 + k];
            s->jacobian[i * k2 + k] = curvature * sum;
        }
        g[OUTPUT][k] += total * p->u2[k] * (1.0 - p->u2[k]);
        s->slope2[k] = total * w[OUTPUT][k] * (1.0 - 2.0 * p->u2[k]);
    }
    for (int k = 0; k < n * k1; ++k) s->driven[k] = splat(0.0);
    for (int i = 0; i < n; ++i) {
        add_transposed(w[HIDDEN], k2, k1, s->jacobian + i * k2, s->driven + i * k1);
        for (int k = 0; k < k2; ++k) g[SKIP2][k * d + m + i] += s->jacobian[i * k2 + k];
    }
    /* The first term, of kappa = (dF/dh1) u1 (1 - u1) and S1, and dh1/da = u1 S1. */
    for (int k = 0; k < k1; ++k) {
        const vec curvature = p->delta1[k] * (1.0 - p->u1[k]);
        vec total = splat(0.0), slope = splat(0.0);
        for (int i = 0; i < n; ++i) {
            const double own = w[SKIP1][k * d + m + i];
            vec sum = splat(0.0);
            for (int j = 0; j < n; ++j) sum += s->symmetric[i * n + j] * w[SKIP1][k * d + m + j];
            total += 0.5 * own * sum;
            slope += own * s->driven[i * k1 + k];
            g[SKIP1][k * d + m + i] += curvature * sum + p->u1[k] * s->driven[i * k1 + k];
        }
        s->back1[k] = total * p->u1[k] * (1.0 - p->u1[k]);
        s->slope1[k] = slope + total * p->back1[k] * (1.0 - 2.0 * p->u1[k]);
    }
    /* G = -(l + Q z + S1^T delta1 + S2^T delta2). */
    for (int k = 0; k < k1; ++k) s->delta1[k] = splat(0.0);
    for (int k = 0; k < k2; ++k) s->delta2[k] = splat(0.0);
    for (int i = 0; i < n; ++i) {
        const vec bar = -s->force[i];
        g[LINEAR][i] += bar;
        for (int j = 0; j < d; ++j) {
            g[QUADRATIC][i * d + j] += bar * p->z[j];
            s->z[j] += w[QUADRATIC][i * d + j] * bar;
        }
        for (int k = 0; k < k1; ++k) {
            s->delta1[k] += w[SKIP1][k * d + m + i] * bar;
            g[SKIP1][k * d + m + i] += p->delta1[k] * bar;
        }
        for (int k = 0; k < k2; ++k) {
            s->delta2[k] += w[SKIP2][k * d + m + i] * bar;
            g[SKIP2][k * d + m + i] += p->delta2[k] * bar;
        }
    }
    for (int k = 0; k < k1; ++k) {
        s->back1[k] += s->delta1[k] * p->u1[k];
        s->slope1[k] += s->delta1[k] * p->back1[k];
    }
    add_product(w[HIDDEN], k2, k1, s->back1, s->delta2);
    for (int k = 0; k < k2; ++k) {
        g[OUTPUT][k] += s->delta2[k] * p->u2[k];
        s->slope2[k] += s->delta2[k] * w[OUTPUT][k];
        s->slope2[k] *= p->u2[k] * (1.0 - p->u2[k]); /* by y2 from here on */
        g[BIAS2][k] += s->slope2[k];
    }
    add_outers(g[HIDDEN], k2, k1, n, s->jacobian, p->driven, p->delta2, s->back1, s->slope2, p->h1);
    add_outer(g[SKIP2], k2, d, s->slope2, p->z);
    add_transposed(w[SKIP2], k2, d, s->slope2, s->z);
    for (int k = 0; k < k1; ++k) {
        s->delta1[k] = splat(0.0); /* by h1 from here on */
        s->slope1[k] *= p->u1[k] * (1.0 - p->u1[k]);
    }
    add_transposed(w[HIDDEN], k2, k1, s->slope2, s->delta1);
    for (int k = 0; k < k1; ++k) {
        s->slope1[k] += s->delta1[k] * p->u1[k]; /* by y1 */
        g[BIAS1][k] += s->slope1[k];
    }
    add_outer(g[SKIP1], k1, d, s->slope1, p->z);
    add_transposed(w[SKIP1], k1, d, s->slope1, s->z);
}

/* By adot and d adot/da: adds to a_bar. */
static void relax_adjoint(const struct law *c, const double *const *w, const double *const *constants,
    const struct point *p, const vec *rate_bar, const vec *slope_bar, struct space *s, vec *const *g,
    vec *a_bar) {
    const int m = c->m, n = c->n;
    for (int i = 0; i < n; ++i)
        for (int j = 0; j < n; ++j) {
            vec mobility = splat(0.0), hessian = splat(0.0);
            for (int k = 0; k < n; ++k) {
                mobility -= slope_bar[i * n + k] * p->hessian[j * n + k];
                hessian -= p->mobility[k * n + i] * slope_bar[k * n + j];
            }
            s->mobility[i * n + j] = mobility, s->hessian[i * n + j] = hessian;
        }
    jumps_adjoint(c, w, constants, p, rate_bar, slope_bar, s, g);
    smooth_energy_adjoint(c, w, p, s, g);
    for (int i = 0; i < n; ++i) {
        vec bar = s->z[m + i] / larger(p->sum[i], splat(1.0));
        for (int j = 0; j < n; ++j)
            bar -= choose(p->sum[j] > 1.0, constants[SAME][j * n + i] * s->z[m + j] * p->inside[j] /
                                               (p->sum[j] * p->sum[j]), splat(0.0));
        a_bar[i] += constants[FRACTION][i] != 0.0 ? choose(p->inside[i] > 0.0, bar, splat(0.0)) : bar;
    }
}
