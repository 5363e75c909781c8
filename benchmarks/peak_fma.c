/* Fused multiply-adds per nanosecond that one core can do, with the registers law.c uses. */
#include "law_lanes.h"

#include <time.h>

double peak_fma(long n)
{
    struct timespec start, stop;
    vec a[16];
    const vec x = splat(0.999999), y = splat(1e-7);
    for (int i = 0; i < 16; i++) a[i] = splat(1.0 + i);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    for (long k = 0; k < n; k++)
        LAW_UNROLL for (int i = 0; i < 16; i++) a[i] = a[i] * x + y;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &stop);
    double sum = 0.0;
    for (int i = 0; i < 16; i++) sum += LANE(a[i], 0);
    const double elapsed = 1e9 * (stop.tv_sec - start.tv_sec) + (stop.tv_nsec - start.tv_nsec);
    return sum > 0.0 ? 16.0 * LAW_LANES * n / elapsed : 0.0;
}
