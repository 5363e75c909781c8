/* Langevin dynamics of chains and periodic cells of two-well springs, vectorised over replicas.
 *
 * Bead i of a chain between a wall at 0 and an end obeys
 *     x_i += drift (F_{i+1} - F_i) + amplitude N(0, 1),     drift = dt / friction,
 * with the tension F of spring i at the elongation u = x_i - x_{i-1} - length:
 *     F = stiffness u for u <= crossing, else stiffness (u - well).
 * The end is moved (free_end = 0: the control is its position) or pulled (1: the control is a force).
 *
 * Replicas are handled in blocks of LANES that stay in the first-level cache for all steps; every
 * loop over lanes is plain C that the compiler turns into SIMD. Each lane has a generator of its own
 * (xoshiro128++, Blackman & Vigna 2021) and blocks know nothing of each other, so the numbers do not
 * depend on how blocks are shared among threads. Noise is single precision, also for positions in
 * double: its granularity, 1e-7, is far below the sampling noise of any ensemble.
 */
#include <math.h>
#include <stdint.h>

#define LANES 64
#define MAX_BEADS 128

static uint64_t splitmix(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

int langevin_lanes(void) { return LANES; }

/* Fill generator states of shape (blocks, 4, LANES) from a seed. */
void langevin_seed(uint64_t seed, int64_t blocks, uint32_t *state) {
    for (int64_t block = 0; block < blocks; ++block)
        for (int lane = 0; lane < LANES; ++lane)
            for (int word = 0; word < 4; ++word)
                state[(block * 4 + word) * LANES + lane] = (uint32_t)(splitmix(&seed) >> 32);
}

static inline uint32_t rotl(uint32_t x, int k) { return (x << k) | (x >> (32 - k)); }

static inline void random_words(uint32_t s[4][LANES], uint32_t out[LANES]) {
    for (int i = 0; i < LANES; ++i) {
        uint32_t a = s[0][i], b = s[1][i], c = s[2][i], d = s[3][i];
        out[i] = rotl(a + d, 7) + a;
        uint32_t t = b << 9;
        c ^= a; d ^= b; b ^= c; a ^= d; c ^= t; d = rotl(d, 11);
        s[0][i] = a; s[1][i] = b; s[2][i] = c; s[3][i] = d;
    }
}

/* Two independent standard normals per lane by Box and Muller's transform; |N| <= 6.66.
 * ln and sin, cos are polynomials with errors below 1e-6, far under the noise of any ensemble. */
static inline void normals(uint32_t s[4][LANES], float first[LANES], float second[LANES]) {
    uint32_t p[LANES], q[LANES];
    random_words(s, p);
    random_words(s, q);
    for (int i = 0; i < LANES; ++i) {
        /* u in (0, 1]; ln u = e ln 2 + ln m with m in [sqrt(1/2), sqrt(2)) */
        union { float f; uint32_t w; } u, m;
        u.f = ((float)(p[i] >> 1) + 0.5f) * 0x1p-31f;
        uint32_t shifted = u.w - 0x3f3504f3u;
        int32_t e = (int32_t)shifted >> 23;
        m.w = u.w - ((uint32_t)e << 23);
        float z = (m.f - 1.0f) / (m.f + 1.0f), z2 = z * z;
        float lnm = z * (2.0f + z2 * (0.66666667f + z2 * (0.4f + z2 * 0.28571429f)));
        float r2 = -2.0f * ((float)e * 0.69314718f + lnm);
        float r = sqrtf(r2 > 0.0f ? r2 : 0.0f);
        /* angle = quadrant + fraction of a quarter turn, fraction in [-1/2, 1/2) */
        int32_t fraction = (int32_t)(q[i] << 2) >> 2;
        uint32_t quadrant = (q[i] + 0x20000000u) >> 30;
        float a = (float)fraction * (1.57079633f * 0x1p-30f), a2 = a * a;
        float sn = a * (1.0f + a2 * (-0.16666667f + a2 * (8.3333333e-3f + a2 * -1.9841270e-4f)));
        float cs = 1.0f + a2 * (-0.5f + a2 * (4.1666667e-2f + a2 * (-1.3888889e-3f + a2 * 2.4801587e-5f)));
        float x = (quadrant & 1u) ? -sn : cs, y = (quadrant & 1u) ? cs : sn;
        float sign = (quadrant & 2u) ? -r : r;
        first[i] = sign * x;
        second[i] = sign * y;
    }
}

/* Fill `out`, shape (2 * pairs, LANES), with standard normals of one block: for tests. */
void langevin_normals(uint32_t *state, int64_t pairs, float *out) {
    uint32_t(*s)[LANES] = (uint32_t(*)[LANES])state;
    for (int64_t k = 0; k < pairs; ++k)
        normals(s, out + 2 * k * LANES, out + (2 * k + 1) * LANES);
}

struct chain {
    int free_end;
    double length, stiffness, well, crossing;
};

#define REAL float
#define NAME(name) langevin_##name##_float
#include "langevin_steps.h"
#undef REAL
#undef NAME

#define REAL double
#define NAME(name) langevin_##name##_double
#include "langevin_steps.h"
