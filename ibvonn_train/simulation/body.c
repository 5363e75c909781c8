/* Langevin dynamics of a body that is cut out of a lattice of bistable bonds: a list of bonds.
 *
 * The medium around the body moves, and the gripped nodes with it: its displacement at node i is
 * b_i(t) = sum_m c_m(t) f_m(X_i). Node i is w_i away from it, w_i = 0 where it is gripped. The bond
 * from i to j has the elongation u = e + n.(w_j - w_i), e = sum_m c_m n.(f_m(X_j) - f_m(X_i)); forces,
 * inner coordinates and noise are those of lattice.c.
 */
#include "lattice_noise.h"

int body_lanes(void) { return LANES; }

/* Fill generator states of shape (blocks, 4, LANES) from a seed. */
void body_seed(uint64_t seed, int64_t blocks, uint32_t *state) { seed_lanes(seed, blocks, state); }

#define REAL float
#define NAME(name) body_##name##_float
#include "body_steps.h"
#undef REAL
#undef NAME

#define REAL double
#define NAME(name) body_##name##_double
#include "body_steps.h"
