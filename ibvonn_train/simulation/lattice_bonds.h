/* Noise and one bond, written once for float and once for double: REAL is the precision of
 * positions, NAME(...) gives a function its name. Included by lattice_steps.h and body_steps.h. */

/* Add the mean of last and a new normal, times 2 half, to x; keep the new one. */
static inline void NAME(kick)(REAL *restrict x, float *restrict last, uint32_t *restrict s,
                              REAL half) {
    float fresh[LANES];
    normals(s, fresh);
    for (int i = 0; i < LANES; ++i) {
        x[i] += half * (REAL)(last[i] + fresh[i]);
        last[i] = fresh[i];
    }
}

/* Tension of a bond of the elongation u, of one lane. */
static inline REAL NAME(tension)(const struct lattice *c, REAL u, REAL inner, const int series) {
    const REAL well = (REAL)c->well, crossing = (REAL)c->crossing;
    if (series) return (REAL)c->stiffness * (u - inner);
    return (REAL)c->well_stiffness * (u > crossing ? u - well : u);
}

/* Move inner coordinates under the tensions of their bonds, (LANES) each. */
static inline void NAME(move_inner)(const struct lattice *c, const REAL *restrict tension,
                                    REAL *restrict inner, float *restrict last,
                                    uint32_t *restrict s) {
    const REAL well = (REAL)c->well, crossing = (REAL)c->crossing;
    const REAL well_stiffness = (REAL)c->well_stiffness;
    const REAL drift = (REAL)c->drift_inner, half = (REAL)(0.5 * c->amplitude_inner);
    for (int i = 0; i < LANES; ++i) {
        REAL slope = well_stiffness * (inner[i] > crossing ? inner[i] - well : inner[i]);
        inner[i] += drift * (tension[i] - slope);
    }
    if (half != 0) NAME(kick)(inner, last, s, half);
}

/* Add the force of one bond to those on its ends and move its inner coordinate.
 *   from, to     w of the ends, pull and back the forces on them, (size, LANES) each
 *   inner, last  z and the normals that were drawn for it, (LANES)
 *   n            direction; mean  elongation where w is zero */
static inline void NAME(bond)(const struct lattice *c, const REAL *restrict from,
                              const REAL *restrict to, REAL *restrict pull,
                              REAL *restrict back, REAL *restrict inner, float *restrict last,
                              const REAL *n, REAL mean, uint32_t *restrict s, const int size,
                              const int series) {
    REAL tension[LANES];
    for (int i = 0; i < LANES; ++i) {
        REAL u = mean;
        for (int d = 0; d < size; ++d) u += n[d] * (to[d * LANES + i] - from[d * LANES + i]);
        tension[i] = NAME(tension)(c, u, series ? inner[i] : 0, series);
    }
    for (int d = 0; d < size; ++d)
        for (int i = 0; i < LANES; ++i) {
            pull[d * LANES + i] += n[d] * tension[i];
            back[d * LANES + i] -= n[d] * tension[i];
        }
    if (series) NAME(move_inner)(c, tension, inner, last, s);
}
