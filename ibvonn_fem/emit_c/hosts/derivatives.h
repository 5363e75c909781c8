
/* Derivatives of stress (n_points, STRAIN_SIZE, columns) and statev_new (n_points, INTERNAL_SIZE,
   columns) of a step, at the statev_new that it gave, by strain, strain_old, statev and dt: as many
   columns in this order, 2 STRAIN_SIZE + INTERNAL_SIZE + 1. NaN where an input is not finite. */
int @NAME@_derivatives(int64_t n_points, const double *strain, const double *strain_old,
                       const double *statev, const double *statev_new, const double *dt,
                       double *stress, double *statev_derivatives);
