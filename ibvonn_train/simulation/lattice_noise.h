/* What the engines of lattices share: constants of the bonds, blocks of replicas, noise.
 *
 * Replicas are handled in blocks of LANES, all steps of a block before the next block;
 * every loop over lanes is plain C that the compiler turns into SIMD. Each lane has a generator of its
 * own (xoshiro128+, Blackman & Vigna 2021). A normal is the number of ones among 24 random bits, a
 * binomial variable, plus a uniform one from the other 8: of variance 1, with 0.08 less kurtosis than
 * a normal. What matters to diffusion are sums of many.
 */
#include <stdint.h>
#include <stdlib.h>

#define LANES 16
#define MOST_DIRECTIONS 8
#define MOST_DIMENSIONS 3

struct lattice {
    int dimension, directions, nodes, series, true_lengths;
    double stiffness, well_stiffness, well, crossing;
    double drift, drift_inner, amplitude, amplitude_inner;
    double vectors[MOST_DIRECTIONS * MOST_DIMENSIONS], lengths[MOST_DIRECTIONS];
};

static uint64_t splitmix(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Fill generator states of shape (blocks, 4, LANES) from a seed. */
static void seed_lanes(uint64_t seed, int64_t blocks, uint32_t *state) {
    for (int64_t block = 0; block < blocks; ++block)
        for (int lane = 0; lane < LANES; ++lane)
            for (int word = 0; word < 4; ++word)
                state[(block * 4 + word) * LANES + lane] = (uint32_t)(splitmix(&seed) >> 32);
}

/* 1 / sqrt(6 + (1 - 2^-16) / 12): 24 bits have the variance 6, 256 even steps of 1/256 nearly 1/12. */
#define SCALE 0.405448f

/* Number of ones. Without an instruction for vectors, sums of neighbouring bits. */
static inline uint32_t ones(uint32_t w) {
#ifdef __AVX512VPOPCNTDQ__
    return (uint32_t)__builtin_popcount(w);
#else
    w -= (w >> 1) & 0x55555555u;
    w = (w & 0x33333333u) + ((w >> 2) & 0x33333333u);
    w = (w + (w >> 4)) & 0x0f0f0f0fu;
    w += w >> 8; /* a product here would be taken for the scalar instruction */
    return (w + (w >> 16)) & 63u;
#endif
}

static inline void normals(uint32_t *restrict s, float *restrict out) {
    uint32_t *restrict s1 = s + LANES, *restrict s2 = s + 2 * LANES, *restrict s3 = s + 3 * LANES;
    for (int i = 0; i < LANES; ++i) {
        uint32_t a = s[i], b = s1[i], c = s2[i], d = s3[i];
        uint32_t word = a + d, t = b << 9;
        c ^= a; d ^= b; b ^= c; a ^= d; c ^= t; d = (d << 11) | (d >> 21);
        s[i] = a; s1[i] = b; s2[i] = c; s3[i] = d;
        /* The lowest bits of xoshiro128+ are its weakest: they go into the uniform part. */
        float binomial = (float)(int32_t)ones(word >> 8);
        float even = (float)(int32_t)(word & 255u);
        out[i] = SCALE * (binomial - 12.0f + (even - 127.5f) * (1.0f / 256.0f));
    }
}
