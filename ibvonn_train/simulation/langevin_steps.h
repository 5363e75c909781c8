/* The time loop, written once for float and once for double: REAL is the precision of positions,
 * NAME(...) gives a function its name. Included by langevin.c. */

/* Tension of `spring` (0-based) with all its replicas, before the step. */
static inline void NAME(tension)(const REAL (*y)[LANES], int spring, int beads,
                                 const struct chain *c, REAL end, REAL out[LANES]) {
    const REAL length = (REAL)c->length, stiffness = (REAL)c->stiffness;
    const REAL well = (REAL)c->well, crossing = (REAL)c->crossing;
    if (spring == beads && c->free_end) {
        for (int i = 0; i < LANES; ++i) out[i] = end;
        return;
    }
    for (int i = 0; i < LANES; ++i) {
        REAL right = spring < beads ? y[spring][i] : end;
        REAL left = spring > 0 ? y[spring - 1][i] : (REAL)0;
        REAL u = right - left - length;
        out[i] = stiffness * (u > crossing ? u - well : u);
    }
}

/* Copy the positions of a block into row `row` of a record (rows, beads, replicas). */
static inline void NAME(store)(const REAL (*y)[LANES], int beads, int64_t block, int64_t row,
                               int64_t replicas, REAL *record) {
    int64_t left = replicas - block * LANES, count = left < LANES ? left : LANES;
    REAL *out = record + row * beads * replicas + block * LANES;
    for (int bead = 0; bead < beads; ++bead)
        for (int64_t i = 0; i < count; ++i) out[bead * replicas + i] = y[bead][i];
}

/* Advance `blocks` blocks in place by `steps` steps; returns 1 where the beads are too many.
 *   x        (blocks, beads, LANES)
 *   control  (steps) at the start of each step, or (1) if held
 *   state    (blocks, 4, LANES)
 *   record   (steps / stride, beads, replicas): positions after every `stride` steps, or NULL */
int NAME(advance)(REAL *x, int beads, int64_t blocks, const struct chain *c,
                  const double *control, int held, int64_t steps, double drift_,
                  double amplitude_, uint32_t *state, int64_t stride, int64_t replicas,
                  REAL *record) {
    if (beads < 1 || beads > MAX_BEADS) return 1;
    const REAL drift = (REAL)drift_, amplitude = (REAL)amplitude_;
    for (int64_t block = 0; block < blocks; ++block) {
        REAL(*y)[LANES] = (REAL(*)[LANES])(x + block * beads * LANES);
        uint32_t(*s)[LANES] = (uint32_t(*)[LANES])(state + block * 4 * LANES);
        REAL tension[LANES], next[LANES];
        float noise[2][LANES];
        for (int64_t step = 0; step < steps; ++step) {
            const REAL end = (REAL)control[held ? 0 : step];
            NAME(tension)(y, 0, beads, c, end, tension);
            for (int bead = 0; bead < beads; ++bead) {
                NAME(tension)(y, bead + 1, beads, c, end, next);
                if (amplitude != 0) {
                    if (bead % 2 == 0) normals(s, noise[0], noise[1]);
                    const float *xi = noise[bead % 2];
                    for (int i = 0; i < LANES; ++i)
                        y[bead][i] += drift * (next[i] - tension[i]) + amplitude * (REAL)xi[i];
                } else {
                    for (int i = 0; i < LANES; ++i) y[bead][i] += drift * (next[i] - tension[i]);
                }
                for (int i = 0; i < LANES; ++i) tension[i] = next[i];
            }
            if (record && (step + 1) % stride == 0)
                NAME(store)(y, beads, block, (step + 1) / stride - 1, replicas, record);
        }
    }
    return 0;
}

/* Advance cells, periodic chains under a mean strain, in place; returns 1 where there are no beads.
 * Bead i is w_i = x_i - (i + strain) length away from the affine motion, spring i between beads i - 1
 * and i has the elongation strain * length + w_i - w_{i-1}, and drag acts on w. The noise of a step is
 * the mean of two normals, of which the next step takes the second again (Leimkuhler, Matthews).
 *   control  strains at the start of each step, (steps), or (1) if held
 *   kept     (blocks, beads, LANES): the normals of the next step, drawn now where fresh is not 0
 * Others as above. */
int NAME(advance_cell)(REAL *x, int beads, int64_t blocks, const struct chain *c,
                       const double *control, int held, int64_t steps, double drift_,
                       double amplitude_, uint32_t *state, float *kept, int fresh, int64_t stride,
                       int64_t replicas, REAL *record) {
    if (beads < 2) return 1;
    const REAL drift = (REAL)drift_, half = (REAL)(0.5 * amplitude_);
    const REAL stiffness = (REAL)c->stiffness, well = (REAL)c->well, crossing = (REAL)c->crossing;
    for (int64_t block = 0; block < blocks; ++block) {
        REAL(*y)[LANES] = (REAL(*)[LANES])(x + block * beads * LANES);
        uint32_t(*s)[LANES] = (uint32_t(*)[LANES])(state + block * 4 * LANES);
        float(*last)[LANES] = (float(*)[LANES])(kept + block * beads * LANES);
        REAL first[LANES], tension[LANES], next[LANES];
        float noise[2][LANES];
        if (fresh && half != 0)
            for (int bead = 0; bead < beads; ++bead) {
                if (bead % 2 == 0) normals(s, noise[0], noise[1]);
                for (int i = 0; i < LANES; ++i) last[bead][i] = noise[bead % 2][i];
            }
        for (int64_t step = 0; step < steps; ++step) {
            const REAL stretch = (REAL)(control[held ? 0 : step] * c->length);
            for (int i = 0; i < LANES; ++i) {
                REAL u = y[0][i] - y[beads - 1][i] + stretch;
                first[i] = stiffness * (u > crossing ? u - well : u);
                tension[i] = first[i];
            }
            for (int bead = 0; bead < beads; ++bead) {
                if (bead + 1 < beads) {
                    for (int i = 0; i < LANES; ++i) {
                        REAL u = y[bead + 1][i] - y[bead][i] + stretch;
                        next[i] = stiffness * (u > crossing ? u - well : u);
                    }
                } else {
                    for (int i = 0; i < LANES; ++i) next[i] = first[i];
                }
                if (half != 0) {
                    if (bead % 2 == 0) normals(s, noise[0], noise[1]);
                    const float *xi = noise[bead % 2];
                    for (int i = 0; i < LANES; ++i) {
                        y[bead][i] += drift * (next[i] - tension[i])
                                      + half * ((REAL)last[bead][i] + (REAL)xi[i]);
                        last[bead][i] = xi[i];
                    }
                } else {
                    for (int i = 0; i < LANES; ++i) y[bead][i] += drift * (next[i] - tension[i]);
                }
                for (int i = 0; i < LANES; ++i) tension[i] = next[i];
            }
            if (record && (step + 1) % stride == 0)
                NAME(store)(y, beads, block, (step + 1) / stride - 1, replicas, record);
        }
    }
    return 0;
}
