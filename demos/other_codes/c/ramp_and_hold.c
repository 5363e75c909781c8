/* A material point in C: strain ramped to 0.1 in time 0.5, then held until 2; stress over time.

       ibvonn-fem emit-c exported_models/exact_trap --output .
       cc -O2 -o ramp_and_hold ramp_and_hold.c constitutive.c -lm
       ./ramp_and_hold 40 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "constitutive.h"

int main(int argc, char **argv)
{
    const int steps = argc > 1 ? atoi(argv[1]) : 40;
    const double end = 2.0, ramp = 0.5, held = 0.1;
    double strain_old = 0.0, statev = 0.0; /* the declared equilibrium */
    double stored = 0.0, dissipated = 0.0, work = 0.0, stress_old = 0.0;

    for (int n = 1; n <= steps; n++) {
        const double dt = end / steps, time = n * dt, strain = held * fmin(time / ramp, 1.0);
        double stress, statev_new, tangent, energy, dissipation, residual, validity;
        if (exact_trap_update_point(&strain, &strain_old, &statev, dt, &stress, &statev_new, &tangent,
                                    &energy, &dissipation, &residual, &validity) != 0) {
            fprintf(stderr, "step %d did not converge: residual %g\n", n, residual);
            return 1;
        }
        if (validity > 0.0) fprintf(stderr, "time %g: outside the range of training\n", time);
        work += 0.5 * (stress + stress_old) * (strain - strain_old);
        dissipated += dissipation;
        stored = energy;
        printf("%.16e %.16e\n", time, stress);
        statev = statev_new;
        strain_old = strain;
        stress_old = stress;
    }
    fprintf(stderr, "work %.6f = stored %.6f + dissipated %.6f + O(dt)\n", work, stored, dissipated);
    return fabs(work - stored - dissipated) > 0.1 * work;
}
