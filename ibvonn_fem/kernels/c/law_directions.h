/* A solid made of fibres in many directions, each following a law of one strain (microsphere,
   microcircle, their plane symmetry classes): with p_k the projection on direction k,

       e_k = e_0 + p_k.E,   stress = sum_k w_k (s_k - s_0) p_k,   tangent = sum_k w_k c_k p_k p_k',

   and energy and dissipation summed alike. p_k and E in any basis in which a work product is a plain
   dot product (Mandel's: factor sqrt(2) on shear). */
#ifndef LAW_DIRECTIONS_H
#define LAW_DIRECTIONS_H

#define LAW_CHUNK 64 /* updates at a time; a multiple of LAW_LANES */
#define LAW_MAX_MEASURE 9

/* As ibvonn_update, for n_points points of n_directions directions each; measure (old) has shape
   (n_points, n_measure), statev, guess and statev_new (n_points, n_directions, n_internal),
   projection (n_directions, n_measure). residual and validity are the largest of a point. */
LAW_API int ibvonn_update_directions(
    const int64_t *sizes, int64_t n_sizes, const double *weights, int64_t n_weights,
    double *workspace, int64_t n_workspace, int64_t n_points, int64_t n_measure,
    int64_t n_directions, const double *projection, const double *direction_weight,
    double strain_offset, double stress_offset, const double *measure, const double *measure_old,
    const double *statev, const double *dt, int64_t dt_stride, const double *guess, double *stress,
    double *statev_new, double *tangent, double *energy_out, double *dissipation_out,
    double *residual, double *validity)
{
    law m;
    work w;
    const int code = prepare(&m, &w, sizes, n_sizes, weights, n_weights, workspace, n_workspace);
    if (code != LAW_OK) return code;
    if (m.n_strain != 1 || n_measure < 1 || n_measure > LAW_MAX_MEASURE) return LAW_SIZES;
    if (n_points < 0 || n_directions < 1 || dt_stride < 0 || dt_stride > 1) return LAW_POINTS;
    if (n_points == 0) return LAW_OK;
    if (!projection || !direction_weight || !measure || !measure_old || !statev || !dt || !stress
        || !statev_new || !tangent || !energy_out || !dissipation_out || !residual || !validity)
        return LAW_NULL;
    const int64_t size = n_measure, total = n_points * n_directions, n = m.n_internal;
    memset(stress, 0, sizeof(double) * (size_t)(n_points * size));
    memset(tangent, 0, sizeof(double) * (size_t)(n_points * size * size));
    for (int64_t p = 0; p < n_points; p++)
        energy_out[p] = dissipation_out[p] = residual[p] = validity[p] = 0.0;

    double strain[LAW_CHUNK], strain_old[LAW_CHUNK], step[LAW_CHUNK], s[LAW_CHUNK], c[LAW_CHUNK];
    double f[LAW_CHUNK], released[LAW_CHUNK], error[LAW_CHUNK], outside[LAW_CHUNK];
    for (int64_t begin = 0; begin < total; begin += LAW_CHUNK) {
        const int64_t count = total - begin < LAW_CHUNK ? total - begin : LAW_CHUNK;
        for (int64_t i = 0; i < count; i++) {
            const int64_t p = (begin + i) / n_directions, k = (begin + i) % n_directions;
            strain[i] = strain_old[i] = 0.0;
            step[i] = dt[p * dt_stride];
            for (int64_t a = 0; a < size; a++) {
                strain[i] += projection[k * size + a] * measure[p * size + a];
                strain_old[i] += projection[k * size + a] * measure_old[p * size + a];
            }
            strain[i] += strain_offset;
            strain_old[i] += strain_offset;
        }
        const arguments io = {strain, strain_old, statev + begin * n, step,
                              guess ? guess + begin * n : NULL, 1, s, statev_new + begin * n, c,
                              f, released, error, outside};
        update_blocks(&m, &w, &io, count);
        for (int64_t i = 0; i < count; i++) {
            const int64_t p = (begin + i) / n_directions, k = (begin + i) % n_directions;
            const double weight = direction_weight[k], pull = weight * (s[i] - stress_offset);
            const double stiffness = weight * c[i];
            const double *project = projection + k * size;
            for (int64_t a = 0; a < size; a++) {
                stress[p * size + a] += pull * project[a];
                for (int64_t b = 0; b < size; b++)
                    tangent[(p * size + a) * size + b] += stiffness * (project[a] * project[b]);
            }
            energy_out[p] += weight * (f[i] - stress_offset * (strain[i] - strain_offset));
            dissipation_out[p] += weight * released[i];
            if (!(error[i] <= residual[p])) /* a NaN stays: nothing compares with it */
                residual[p] = isnan(residual[p]) ? residual[p] : error[i];
            if (!(outside[i] <= validity[p])) validity[p] = outside[i];
        }
    }
    return LAW_OK;
}

#endif
