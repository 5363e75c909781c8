/* ---- material points ----------------------------------------------------------------------- */

/* Outputs are those of the exported format (see constitutive.h); a point has converged where
   residual <= LAW_TOLERANCE, written so that NaN fails. */

/* One step at n_points points, points first, dt one number per point. Returns the number of points
   that did not converge, or a negative code (a null pointer, a negative count). */
int LAW_NAME(update)(int64_t n_points, const double *strain, const double *strain_old,
                     const double *statev, const double *dt, double *stress, double *statev_new,
                     double *tangent, double *energy_out, double *dissipation_out, double *residual,
                     double *validity)
{
    double workspace[LAW_WORKSPACE_SIZE];
    const int code = ibvonn_update(law_sizes, LAW_COUNT(law_sizes), law_weights,
                                   LAW_COUNT(law_weights), workspace, LAW_WORKSPACE_SIZE, n_points,
                                   strain, strain_old, statev, dt, 1, NULL, stress, statev_new,
                                   tangent, energy_out, dissipation_out, residual, validity);
    int failed = 0;
    if (code != LAW_OK) return code;
    for (int64_t i = 0; i < n_points; i++)
        if (!(residual[i] <= LAW_TOLERANCE) && failed < INT32_MAX) failed++;
    return failed;
}

/* The same at one point. */
int LAW_NAME(update_point)(const double *strain, const double *strain_old, const double *statev,
                           double dt, double *stress, double *statev_new, double *tangent,
                           double *energy_out, double *dissipation_out, double *residual,
                           double *validity)
{
    return LAW_NAME(update)(1, strain, strain_old, statev, &dt, stress, statev_new, tangent,
                            energy_out, dissipation_out, residual, validity);
}

/* The law in continuous time: energy, stress, driving force and rate of the internal variables. */
int LAW_NAME(rates)(int64_t n_points, const double *strain, const double *statev,
                    double *energy_out, double *stress, double *driving_force, double *rate)
{
    double workspace[LAW_WORKSPACE_SIZE];
    return ibvonn_rates(law_sizes, LAW_COUNT(law_sizes), law_weights, LAW_COUNT(law_weights),
                        workspace, LAW_WORKSPACE_SIZE, n_points, strain, statev, energy_out, stress,
                        driving_force, rate);
}
