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
            if (record && (step + 1) % stride == 0) {
                int64_t left = replicas - block * LANES, count = left < LANES ? left : LANES;
                REAL *out = record + (step + 1) / stride * beads * replicas - beads * replicas
                            + block * LANES;
                for (int bead = 0; bead < beads; ++bead)
                    for (int64_t i = 0; i < count; ++i) out[bead * replicas + i] = y[bead][i];
            }
        }
    }
    return 0;
}
