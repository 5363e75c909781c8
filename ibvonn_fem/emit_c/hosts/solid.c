/* ---- solids -------------------------------------------------------------------------------- */

/* Small strain, Mandel components: xx yy zz xy xz yz with factor sqrt(2) on shear; in the plane
   the first four. A law of one strain is carried by fibres in many directions (microsphere; in
   plane problems mirror directions are merged), a law of 4 or 6 strains is the solid itself.

       stress = density * sum_k w_k (s_k - s_0) n_k n_k + bulk * tr(strain) * identity */

enum { LAW_SPACE = 0, LAW_PLANE_STRAIN = 1, LAW_PLANE_STRESS = 2 };

typedef struct {
    double density; /* stress of the solid over stress of the law, > 0 */
    double bulk;    /* modulus of the volumetric part, >= 0 [stress of the solid] */
    double time;    /* the law's unit of time in the solid's unit of time, > 0 */
} law_scales;

/* Written so that NaN fails. */
static int law_scales_hold(double density, double bulk, double time)
{
    return density > 0.0 && density <= LAW_HUGE && bulk >= 0.0 && bulk <= LAW_HUGE && time > 0.0
           && time <= LAW_HUGE;
}

#if LAW_STRAINS == 1
enum { LAW_SPACE_POINTS = LAW_SPACE_DIRECTIONS, LAW_PLANE_POINTS = LAW_PLANE_DIRECTIONS };
#else
enum { LAW_SPACE_POINTS = 1, LAW_PLANE_POINTS = 1 };
#endif
#define LAW_SPACE_STATES (LAW_SPACE_POINTS * LAW_INTERNALS)
#define LAW_PLANE_STATES (LAW_PLANE_POINTS * LAW_INTERNALS)
#define LAW_MOST_STATES (LAW_SPACE_STATES > LAW_PLANE_STATES ? LAW_SPACE_STATES : LAW_PLANE_STATES)

/* State variables of a kind of solid: the internal variables of every direction, then in plane
   stress the strain zz. 0 where the law cannot serve the kind. */
int LAW_NAME(solid_states)(int kind)
{
    if (kind == LAW_SPACE) return LAW_STRAINS == 4 ? 0 : LAW_SPACE_STATES;
    return LAW_PLANE_STATES + (kind == LAW_PLANE_STRESS ? 1 : 0);
}

typedef struct {
    double stress[6], tangent[36], states[LAW_MOST_STATES + 1];
    double energy, dissipation, residual, validity;
} law_answer;

/* The solid without its condensed strain and without the volumetric part, unit density. */
static int law_solid_trial(int size, const double *strain, const double *strain_old,
                           const double *states, double dt, law_answer *a)
{
    double workspace[LAW_WORKSPACE_SIZE];
#if LAW_STRAINS == 1
    const int space = size == 6;
    return ibvonn_update_directions(
        law_sizes, LAW_COUNT(law_sizes), law_weights, LAW_COUNT(law_weights), workspace,
        LAW_WORKSPACE_SIZE, 1, size, space ? LAW_SPACE_DIRECTIONS : LAW_PLANE_DIRECTIONS,
        space ? law_space_projection : law_plane_projection,
        space ? law_space_weight : law_plane_weight, law_initial_strain[0], law_initial_stress[0],
        strain, strain_old, states, &dt, 0, NULL, a->stress, a->states, a->tangent, &a->energy,
        &a->dissipation, &a->residual, &a->validity);
#else
    double e[LAW_STRAINS], e_old[LAW_STRAINS], s[LAW_STRAINS], c[LAW_STRAINS * LAW_STRAINS];
    for (int i = 0; i < LAW_STRAINS; i++) {
        e[i] = law_initial_strain[i] + (i < size ? strain[i] : 0.0);
        e_old[i] = law_initial_strain[i] + (i < size ? strain_old[i] : 0.0);
    }
    const int code = ibvonn_update(law_sizes, LAW_COUNT(law_sizes), law_weights,
                                   LAW_COUNT(law_weights), workspace, LAW_WORKSPACE_SIZE, 1, e, e_old,
                                   states, &dt, 0, NULL, s, a->states, c, &a->energy,
                                   &a->dissipation, &a->residual, &a->validity);
    if (code != LAW_OK) return code;
    for (int i = 0; i < size; i++) {
        a->stress[i] = s[i] - law_initial_stress[i];
        a->energy -= law_initial_stress[i] * strain[i];
        for (int j = 0; j < size; j++) a->tangent[i * size + j] = c[i * LAW_STRAINS + j];
    }
    return LAW_OK;
#endif
}

static void law_scale(int size, const double *strain, const law_scales *scales, law_answer *a)
{
    const double trace = strain[0] + strain[1] + strain[2];
    for (int i = 0; i < size; i++) {
        a->stress[i] = scales->density * a->stress[i] + (i < 3 ? scales->bulk * trace : 0.0);
        for (int j = 0; j < size; j++)
            a->tangent[i * size + j] = scales->density * a->tangent[i * size + j]
                                       + (i < 3 && j < 3 ? scales->bulk : 0.0);
    }
    a->energy = scales->density * a->energy + 0.5 * scales->bulk * trace * trace;
    a->dissipation *= scales->density;
}

/* Find the strain zz of plane stress from its zero stress (the derivative of a convex energy, so
   that the stress falls along every Newton step), then condense it:

       S_f -= C_fz S_z / C_zz,   C_ff -= C_fz C_zf / C_zz. */
static int law_plane_stress(double *strain, const double *strain_old, const double *states,
                            double dt, const law_scales *scales, law_answer *a)
{
    double base = strain[2], correction = 0.0, pull = HUGE_VAL, fraction = 1.0;
    int converged = 0;
    for (int iteration = 0; iteration < 60; iteration++) {
        const int code = law_solid_trial(4, strain, strain_old, states, dt, a);
        if (code != LAW_OK) return code;
        law_scale(4, strain, scales, a);
        const double found = fabs(a->stress[2]);
        double largest = 1e-5; /* of the strains; strains below 1e-14 are zero */
        for (int i = 0; i < 4; i++) largest = fmax(largest, fabs(strain[i]));
        if (found <= (1.0 - 1e-4 * fraction) * pull || found == 0.0) {
            base = strain[2];
            pull = found;
            correction = -a->stress[2] / a->tangent[10];
            fraction = 1.0;
        } else
            fraction *= 0.25;
        converged = fabs(correction) <= 1e-9 * largest; /* what is left goes to first order */
        if (converged || !(fabs(correction) <= LAW_HUGE)) break;
        strain[2] = base + fraction * correction;
    }
    if (!converged) a->residual = HUGE_VAL;
    a->states[LAW_PLANE_STATES] = strain[2] + (converged ? correction : 0.0);
    const double inverse = 1.0 / a->tangent[10];
    double row[4];
    for (int i = 0; i < 4; i++) row[i] = a->tangent[i * 4 + 2];
    const double rest = a->stress[2];
    for (int i = 0; i < 4; i++) {
        a->stress[i] -= row[i] * rest * inverse;
        for (int j = 0; j < 4; j++) a->tangent[i * 4 + j] -= row[i] * row[j] * inverse;
    }
    return LAW_OK;
}

/* One step of a solid at one point. strain, strain_old, stress: 6 Mandel components, in the plane 4
   (in plane stress zz is found and its entries are ignored); tangent: their square, row by row;
   states: LAW_NAME(solid_states)(kind) numbers. Returns 0 where the point converged, 1 where not,
   or a negative code; outputs are written only on 0. */
int LAW_NAME(solid)(int kind, double density, double bulk, double time, const double *strain,
                    const double *strain_old, const double *states, double dt, double *stress,
                    double *states_new, double *tangent, double *energy_out,
                    double *dissipation_out, double *residual, double *validity)
{
    const law_scales scales = {density, bulk, time};
    const int size = kind == LAW_SPACE ? 6 : 4;
    const int count = LAW_NAME(solid_states)(kind);
    double e[6], e_old[6];
    law_answer a;
    int code;
    if (!strain || !strain_old || !states || !stress || !states_new || !tangent || !energy_out
        || !dissipation_out || !residual || !validity)
        return LAW_NULL;
    if (kind < LAW_SPACE || kind > LAW_PLANE_STRESS || count == 0) return LAW_SIZES;
    if (!law_scales_hold(density, bulk, time)) return LAW_POINTS;
    memcpy(e, strain, sizeof(double) * (size_t)size);
    memcpy(e_old, strain_old, sizeof(double) * (size_t)size);
    if (kind == LAW_PLANE_STRESS) {
        e[2] = e_old[2] = states[LAW_PLANE_STATES];
        code = law_plane_stress(e, e_old, states, dt / time, &scales, &a);
    } else {
        code = law_solid_trial(size, e, e_old, states, dt / time, &a);
        if (code == LAW_OK) law_scale(size, e, &scales, &a);
    }
    if (code != LAW_OK) return code;
    *residual = a.residual;
    if (!(a.residual <= LAW_TOLERANCE)) return 1;
    memcpy(stress, a.stress, sizeof(double) * (size_t)size);
    memcpy(tangent, a.tangent, sizeof(double) * (size_t)(size * size));
    memcpy(states_new, a.states, sizeof(double) * (size_t)count);
    *energy_out = a.energy;
    *dissipation_out = a.dissipation;
    *validity = a.validity;
    return 0;
}
