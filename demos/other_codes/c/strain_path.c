/* A law of several strains in C: every line of stdin has dt and the strains at the end of a step, every
   line of stdout the stresses and the distance from the range of training.

       ibvonn-fem emit-c exported_models/lattice --output .
       cc -O2 -o strain_path strain_path.c constitutive.c -lm
       printf '10 0.05 0 0.01\n 10 0.05 0 0.01\n' | ./strain_path

   Another law: -DLAW=name -DSTRAINS=6 -DINTERNALS=6. */
#include <stdio.h>
#include <string.h>

#include "constitutive.h"

#ifndef LAW
#define LAW lattice
#define STRAINS LATTICE_STRAIN_SIZE
#define INTERNALS LATTICE_INTERNAL_SIZE
#endif
#define JOINED(name, suffix) name##suffix
#define NAMED(name, suffix) JOINED(name, suffix)

int main(void)
{
    double old[STRAINS] = {0.0}, strain[STRAINS], stress[STRAINS], tangent[STRAINS * STRAINS];
    double statev[INTERNALS] = {0.0}, statev_new[INTERNALS]; /* the declared equilibrium */
    double dt, energy, dissipation, residual, validity;

    while (scanf("%lf", &dt) == 1) {
        for (int i = 0; i < STRAINS; i++)
            if (scanf("%lf", strain + i) != 1) return 2;
        if (NAMED(LAW, _update_point)(strain, old, statev, dt, stress, statev_new, tangent, &energy,
                                      &dissipation, &residual, &validity) != 0)
            return 1; /* not converged: try a shorter step */
        for (int i = 0; i < STRAINS; i++) printf("%.16e ", stress[i]);
        printf("%.16e\n", validity);
        memcpy(old, strain, sizeof old);
        memcpy(statev, statev_new, sizeof statev);
    }
    return 0;
}
