/* The time loop, written once for float and once for double: REAL is the precision of positions,
 * NAME(...) gives a function its name. Included by lattice.c. */

#include "lattice_bonds.h"

/* Add the forces of the bonds of one direction to F and move their inner coordinates. */
static inline void NAME(direction)(const struct lattice *c, const REAL *restrict y,
                                   REAL *restrict z, float *restrict last, REAL *restrict force,
                                   const int32_t *restrict far, const double *vector, REAL mean,
                                   uint32_t *restrict s, const int size, const int series) {
    REAL n[MOST_DIMENSIONS];
    for (int d = 0; d < size; ++d) n[d] = (REAL)vector[d];
    for (int64_t node = 0; node < c->nodes; ++node) {
        const int64_t here = node * size * LANES, there = (int64_t)far[node] * size * LANES;
        NAME(bond)(c, y + here, y + there, force + here, force + there, z + node * LANES,
                   last + node * LANES, n, mean, s, size, series);
    }
}

/* The same of bonds with true lengths: |affine + w_j - w_i| less the length at rest. */
static inline void NAME(true_direction)(const struct lattice *c, const REAL *restrict y,
                                        REAL *restrict z, float *restrict last,
                                        REAL *restrict force, const int32_t *restrict far,
                                        const double *vector, REAL rest, uint32_t *restrict s,
                                        const int size, const int series) {
    REAL affine[MOST_DIMENSIONS];
    for (int d = 0; d < size; ++d) affine[d] = (REAL)vector[d];
    for (int64_t node = 0; node < c->nodes; ++node) {
        const REAL *restrict from = y + node * size * LANES;
        const REAL *restrict to = y + (int64_t)far[node] * size * LANES;
        REAL *restrict pull = force + node * size * LANES;
        REAL *restrict back = force + (int64_t)far[node] * size * LANES;
        REAL span[MOST_DIMENSIONS * LANES], square[LANES], tension[LANES], share[LANES];
        for (int i = 0; i < LANES; ++i) square[i] = 0;
        for (int d = 0; d < size; ++d)
            for (int i = 0; i < LANES; ++i) {
                span[d * LANES + i] = affine[d] + to[d * LANES + i] - from[d * LANES + i];
                square[i] += span[d * LANES + i] * span[d * LANES + i];
            }
        for (int i = 0; i < LANES; ++i) {
            REAL length = NAME(root)(square[i]);
            REAL inner = series ? z[node * LANES + i] : 0;
            tension[i] = NAME(tension)(c, length - rest, inner, series);
            share[i] = tension[i] / length;
        }
        for (int d = 0; d < size; ++d)
            for (int i = 0; i < LANES; ++i) {
                pull[d * LANES + i] += span[d * LANES + i] * share[i];
                back[d * LANES + i] -= span[d * LANES + i] * share[i];
            }
        if (series) NAME(move_inner)(c, tension, z + node * LANES, last + node * LANES, s);
    }
}

/* Advance `blocks` blocks in place by `steps` steps; returns 1 for wrong sizes, 2 without memory.
 *   x        (blocks, degrees, LANES): w, node by node, then z, direction by direction
 *   far      (directions, nodes): the node at the far end of each bond
 *   means    mean elongations e_a at the start of each step, (steps, directions), or (1, ...) if held;
 *            of bonds with true lengths the bond vectors of the affine motion, (steps, directions, size)
 *   kept     (blocks, degrees, LANES): the normals of the next step, drawn now where fresh is not 0
 *   state    (blocks, 4, LANES)
 *   record   (steps / stride, degrees, replicas): positions after every `stride` steps, or NULL */
int NAME(advance)(REAL *x, int64_t blocks, const struct lattice *c, const int32_t *far,
                  const double *means, int held, int64_t steps, uint32_t *state, float *kept,
                  int fresh, int64_t stride, int64_t replicas, REAL *record) {
    const int size = c->dimension, directions = c->directions, nodes = c->nodes;
    if (size < 2 || size > MOST_DIMENSIONS || directions > MOST_DIRECTIONS) return 1;
    const int64_t moving = (int64_t)size * nodes;
    const int64_t degrees = moving + (c->series ? (int64_t)directions * nodes : 0);
    REAL *force = aligned_alloc(64, sizeof(REAL) * (size_t)(moving * LANES));
    if (!force) return 2;
    const int each = c->true_lengths ? directions * size : directions;
    const REAL drift = (REAL)c->drift, half = (REAL)(0.5 * c->amplitude);
    for (int64_t block = 0; block < blocks; ++block) {
        REAL *y = x + block * degrees * LANES, *z = y + moving * LANES;
        float *last = kept + block * degrees * LANES;
        uint32_t *s = state + block * 4 * LANES;
        if (fresh)
            for (int64_t k = 0; k < degrees; ++k) normals(s, last + k * LANES);
        for (int64_t step = 0; step < steps; ++step) {
            const double *mean = means + (held ? 0 : step * each);
            for (int64_t k = 0; k < moving * LANES; ++k) force[k] = 0;
            for (int a = 0; a < directions; ++a) {
                const int64_t at = (int64_t)a * nodes;
                REAL *own = z + at * LANES;
                float *noise = last + (moving + at) * LANES;
                const double *n = c->vectors + a * size;
                /* Constant sizes let the compiler unroll. */
                if (c->true_lengths && size == 2 && c->series)
                    NAME(true_direction)(c, y, own, noise, force, far + at, mean + a * 2,
                                         (REAL)c->lengths[a], s, 2, 1);
                else if (c->true_lengths)
                    NAME(true_direction)(c, y, own, noise, force, far + at, mean + a * size,
                                         (REAL)c->lengths[a], s, size, c->series);
                else if (size == 2 && c->series)
                    NAME(direction)(c, y, own, noise, force, far + at, n, (REAL)mean[a], s, 2, 1);
                else if (size == 2)
                    NAME(direction)(c, y, own, noise, force, far + at, n, (REAL)mean[a], s, 2, 0);
                else if (c->series)
                    NAME(direction)(c, y, own, noise, force, far + at, n, (REAL)mean[a], s, 3, 1);
                else
                    NAME(direction)(c, y, own, noise, force, far + at, n, (REAL)mean[a], s, 3, 0);
            }
            for (int64_t k = 0; k < moving; ++k) {
                REAL *w = y + k * LANES;
                for (int i = 0; i < LANES; ++i) w[i] += drift * force[k * LANES + i];
                if (half != 0) NAME(kick)(w, last + k * LANES, s, half);
            }
            if (record && (step + 1) % stride == 0) {
                int64_t left = replicas - block * LANES, count = left < LANES ? left : LANES;
                REAL *out = record + ((step + 1) / stride - 1) * degrees * replicas + block * LANES;
                for (int64_t k = 0; k < degrees; ++k)
                    for (int64_t i = 0; i < count; ++i) out[k * replicas + i] = y[k * LANES + i];
            }
        }
    }
    free(force);
    return 0;
}
