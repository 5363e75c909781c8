/* Langevin dynamics of periodic lattices of bistable bonds, vectorised over replicas.
 *
 * Node i is w_i away from the affine motion. The bond of direction a from node i to node j has the
 * elongation u = e_a + n_a.(w_j - w_i), the tension t = k (u - z) and the inner coordinate z:
 *     w_i += dt/friction F_i + noise,     z += dt/friction_z (t - K (z or z - z_h)) + noise,
 * or, where there is no inner coordinate, t = K (u or u - z_h). With true lengths
 * u = |U l n_a + w_j - w_i| - l, and the forces on the nodes are along that vector. The noise of a step is the mean of
 * two normals, of which the next step takes the second again (Leimkuhler, Matthews 2013).
 */
#include <math.h>

#include "lattice_noise.h"

static inline float lattice_root_float(float x) { return sqrtf(x); }
static inline double lattice_root_double(double x) { return sqrt(x); }

int lattice_lanes(void) { return LANES; }

/* Fill generator states of shape (blocks, 4, LANES) from a seed. */
void lattice_seed(uint64_t seed, int64_t blocks, uint32_t *state) {
    seed_lanes(seed, blocks, state);
}

/* Fill `out`, shape (count, LANES), with the noise of one block: for tests. */
void lattice_normals(uint32_t *state, int64_t count, float *out) {
    for (int64_t k = 0; k < count; ++k) normals(state, out + k * LANES);
}

#define REAL float
#define NAME(name) lattice_##name##_float
#include "lattice_steps.h"
#undef REAL
#undef NAME

#define REAL double
#define NAME(name) lattice_##name##_double
#include "lattice_steps.h"
