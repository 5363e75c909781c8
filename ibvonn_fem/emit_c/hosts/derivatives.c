/* ---- derivatives of a step ----------------------------------------------------------------- */

/* At the statev_new that the step gave; see constitutive.h. Returns 0, or a negative code. */
int LAW_NAME(derivatives)(int64_t n_points, const double *strain, const double *strain_old,
                          const double *statev, const double *statev_new, const double *dt,
                          double *stress, double *statev_out)
{
    double workspace[LAW_DERIVATIVE_SIZE];
    return ibvonn_update_derivatives(law_sizes, LAW_COUNT(law_sizes), law_weights,
                                     LAW_COUNT(law_weights), workspace, LAW_DERIVATIVE_SIZE,
                                     n_points, strain, strain_old, statev, statev_new, dt, 1, stress,
                                     statev_out);
}
