/* @TITLE@: @DESCRIPTION@
   Written by `ibvonn-fem emit-c`; the law itself is in constitutive.c.

   strain:   @STRAIN@
   stress:   @STRESS@
   internal: @INTERNAL@
   units:    @UNITS@

   Outputs of a step from strain_old, statev to strain in the time 0 <= dt <= 1e100 (0 is an elastic
   step):
     stress, statev_new  at the end of the step
     tangent             d stress / d strain@TANGENT@
     energy              free energy at the end of the step
     dissipation         dissipated in the step, >= 0
     residual            the point has converged where residual <= @TOLERANCE@; inf: the energy
                         inequality failed or the law overflowed; NaN: an input was not finite or
                         no state (a fraction below 0), or dt not in its range
     validity            distance from the range of the training data in half widths, 0 inside
   Arrays are row-major with points first. Functions return 0 where every point converged, a positive
   number of points that did not, or a negative code with nothing written: -1 a null pointer, -2 a
   kind of solid that the law cannot serve, -4 a wrong number of points or scale, -6 compiled with flags
   that break the arithmetic (-ffast-math and parts of it). Any thread may call. */
#ifndef @GUARD@
#define @GUARD@

#include <stdint.h>

#define @UPPER@_STRAIN_SIZE @STRAINS@
#define @UPPER@_INTERNAL_SIZE @INTERNALS@
#define @UPPER@_PARAMETERS_SHA256 "@HASH@"
#define @UPPER@_MODEL_FORMAT @FORMAT@

#ifdef __cplusplus
extern "C" {
#endif

int @NAME@_update(int64_t n_points, const double *strain, const double *strain_old,
                  const double *statev, const double *dt, double *stress, double *statev_new,
                  double *tangent, double *energy, double *dissipation, double *residual,
                  double *validity);
int @NAME@_update_point(const double *strain, const double *strain_old, const double *statev, double dt,
                        double *stress, double *statev_new, double *tangent, double *energy,
                        double *dissipation, double *residual, double *validity);
int @NAME@_rates(int64_t n_points, const double *strain, const double *statev, double *energy,
                 double *stress, double *driving_force, double *rate);
@DERIVATIVES@@SOLID@
#ifdef __cplusplus
}
#endif
#endif
