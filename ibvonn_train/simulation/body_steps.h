/* The time loop, written once for float and once for double: REAL is the precision of positions,
 * NAME(...) gives a function its name. Included by body.c. */
#include "lattice_bonds.h"

/* All steps in so many dimensions. */
static inline int NAME(steps)(REAL *x, int64_t blocks, const struct lattice *c, int64_t bonds,
                              const int32_t *restrict ends, const int32_t *restrict kinds, int modes,
                              const double *stretches, const double *amplitudes, int64_t steps,
                              const uint8_t *gripped, uint32_t *state, float *kept, int fresh,
                              REAL *pulls, const int size) {
    const int nodes = c->nodes;
    const int64_t moving = (int64_t)size * nodes;
    const int64_t degrees = moving + bonds;
    REAL *force = aligned_alloc(64, sizeof(REAL) * (size_t)(moving * LANES));
    if (!force) return 2;
    REAL vectors[MOST_DIRECTIONS * MOST_DIMENSIONS];
    for (int k = 0; k < c->directions * size; ++k) vectors[k] = (REAL)c->vectors[k];
    const REAL drift = (REAL)c->drift, half = (REAL)(0.5 * c->amplitude);
    for (int64_t block = 0; block < blocks; ++block) {
        REAL *y = x + block * degrees * LANES, *z = y + moving * LANES;
        float *last = kept + block * degrees * LANES, *noise = last + moving * LANES;
        uint32_t *s = state + block * 4 * LANES;
        if (fresh)
            for (int64_t k = 0; k < degrees; ++k) normals(s, last + k * LANES);
        for (int64_t step = 0; step < steps; ++step) {
            const double *amplitude = amplitudes + step * modes;
            for (int64_t k = 0; k < moving * LANES; ++k) force[k] = 0;
            for (int64_t b = 0; b < bonds; ++b) {
                const int64_t from = (int64_t)ends[2 * b] * size * LANES;
                const int64_t to = (int64_t)ends[2 * b + 1] * size * LANES;
                const REAL *n = vectors + kinds[b] * size;
                double mean = 0;
                for (int m = 0; m < modes; ++m) mean += stretches[b * modes + m] * amplitude[m];
                NAME(bond)(c, y + from, y + to, force + from, force + to, z + b * LANES,
                           noise + b * LANES, n, (REAL)mean, s, size, 1);
            }
            REAL *pull = pulls;
            for (int node = 0; node < nodes; ++node) {
                const int64_t at = (int64_t)node * size;
                if (gripped[node]) {
                    if (pulls) {
                        for (int k = 0; k < size * LANES; ++k) pull[k] += force[at * LANES + k];
                        pull += size * LANES;
                    }
                    continue;
                }
                for (int d = 0; d < size; ++d) {
                    REAL *w = y + (at + d) * LANES;
                    for (int i = 0; i < LANES; ++i) w[i] += drift * force[(at + d) * LANES + i];
                    if (half != 0) NAME(kick)(w, last + (at + d) * LANES, s, half);
                }
            }
        }
        if (pulls)
            for (int node = 0; node < nodes; ++node)
                if (gripped[node]) pulls += size * LANES;
    }
    free(force);
    return 0;
}

/* Advance `blocks` blocks in place by `steps` steps; returns 1 for wrong sizes, 2 without memory.
 *   x           (blocks, degrees, LANES): w, node by node, then z, bond by bond
 *   ends        (bonds, 2): nodes of each bond; kinds (bonds): its direction
 *   stretches   (bonds, modes): n.(f_m(X_j) - f_m(X_i))
 *   amplitudes  (steps, modes): c_m at the start of each step
 *   gripped     (nodes): not 0 where a node moves with the medium
 *   state       (blocks, 4, LANES)
 *   kept        (blocks, degrees, LANES): the normals of the next step, drawn now where fresh is not 0
 *   pulls       (blocks, gripped nodes, size, LANES): receives the sums over the steps of the forces
 *               of the bonds on the gripped nodes, in their order; or NULL */
int NAME(advance)(REAL *x, int64_t blocks, const struct lattice *c, int64_t bonds,
                  const int32_t *ends, const int32_t *kinds, int modes, const double *stretches,
                  const double *amplitudes, int64_t steps, const uint8_t *gripped, uint32_t *state,
                  float *kept, int fresh, REAL *pulls) {
    if (c->directions > MOST_DIRECTIONS || !c->series) return 1;
    /* Constant sizes let the compiler unroll. */
    if (c->dimension == 2)
        return NAME(steps)(x, blocks, c, bonds, ends, kinds, modes, stretches, amplitudes, steps,
                           gripped, state, kept, fresh, pulls, 2);
    if (c->dimension == 3)
        return NAME(steps)(x, blocks, c, bonds, ends, kinds, modes, stretches, amplitudes, steps,
                           gripped, state, kept, fresh, pulls, 3);
    return 1;
}
