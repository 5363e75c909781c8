/* ---- solids -------------------------------------------------------------------------------- */

/* Small strain, Mandel components: xx yy zz xy xz yz with factor sqrt(2) on shear; in the plane
   the first four. A law of one strain is carried by fibres in many directions (microsphere; in
   plane problems mirror directions are merged), a law of 4 or 6 strains is the solid itself.

       stress = density * sum_k w_k (s_k - s_0) n_k n_k + bulk * tr(strain) * identity

   A law of 3 strains (xx yy xy) is a sheet: its stresses lie in the plane, the strain across does no
   work. Plane strain and plane stress are the same for it, zz of stress and tangent is 0, tr is the
   change of area, and it is no solid in space. */

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

#define LAW_SHEET (LAW_STRAINS == 3)
#if LAW_STRAINS == 1
enum { LAW_SPACE_POINTS = LAW_SPACE_DIRECTIONS, LAW_PLANE_POINTS = LAW_PLANE_DIRECTIONS };
#else
enum { LAW_SPACE_POINTS = LAW_STRAINS == 6, LAW_PLANE_POINTS = 1 };
#endif
#define LAW_SPACE_STATES (LAW_SPACE_POINTS * LAW_INTERNALS)
#define LAW_PLANE_STATES (LAW_PLANE_POINTS * LAW_INTERNALS)
#define LAW_MOST_STATES (LAW_SPACE_STATES > LAW_PLANE_STATES ? LAW_SPACE_STATES : LAW_PLANE_STATES)

/* State variables of a kind of solid: the internal variables of every direction, then in plane
   stress the strain zz, which a sheet has not. 0 where the law cannot serve the kind. */
int LAW_NAME(solid_states)(int kind)
{
    if (kind == LAW_SPACE) return LAW_SPACE_STATES;
    return LAW_PLANE_STATES + (kind == LAW_PLANE_STRESS && !LAW_SHEET ? 1 : 0);
}

/* What a step at n points gives, points first. */
typedef struct {
    double *stress, *states, *tangent, *energy, *dissipation, *residual, *validity;
} law_answers;

/* n solids without a condensed strain and without the volumetric part, unit density. size: 6 or 4. */
static int law_solid_trial(int64_t n, int size, const double *strain, const double *strain_old,
                           const double *states, const double *dt, const law_answers *a)
{
    double workspace[LAW_WORKSPACE_SIZE];
#if LAW_STRAINS == 1
    const int space = size == 6;
    return ibvonn_update_directions(
        law_sizes, LAW_COUNT(law_sizes), law_weights, LAW_COUNT(law_weights), workspace,
        LAW_WORKSPACE_SIZE, n, size, space ? LAW_SPACE_DIRECTIONS : LAW_PLANE_DIRECTIONS,
        space ? law_space_projection : law_plane_projection,
        space ? law_space_weight : law_plane_weight, law_initial_strain[0], law_initial_stress[0],
        strain, strain_old, states, dt, 1, NULL, a->stress, a->states, a->tangent, a->energy,
        a->dissipation, a->residual, a->validity);
#else
    /* Places of the law's components among those of the solid. */
#if LAW_STRAINS == 3
    static const int place[] = {0, 1, 3};
#else
    static const int place[] = {0, 1, 2, 3, 4, 5};
#endif
    enum { L = LAW_STRAINS };
    const int kept = size < L ? size : L; /* the other strains of the law are 0 */
    double e[LAW_CHUNK * L], e_old[LAW_CHUNK * L], s[LAW_CHUNK * L], c[LAW_CHUNK * L * L];
    for (int64_t begin = 0; begin < n; begin += LAW_CHUNK) {
        const int64_t count = n - begin < LAW_CHUNK ? n - begin : LAW_CHUNK;
        for (int64_t p = 0; p < count; p++)
            for (int i = 0; i < L; i++) {
                const int64_t from = (begin + p) * size + place[i];
                e[p * L + i] = law_initial_strain[i] + (i < kept ? strain[from] : 0.0);
                e_old[p * L + i] = law_initial_strain[i] + (i < kept ? strain_old[from] : 0.0);
            }
        const int code = ibvonn_update(
            law_sizes, LAW_COUNT(law_sizes), law_weights, LAW_COUNT(law_weights), workspace,
            LAW_WORKSPACE_SIZE, count, e, e_old, states + begin * LAW_INTERNALS, dt + begin, 1, NULL, s,
            a->states + begin * LAW_INTERNALS, c, a->energy + begin, a->dissipation + begin,
            a->residual + begin, a->validity + begin);
        if (code != LAW_OK) return code;
        for (int64_t p = 0; p < count; p++) {
            const double *given = strain + (begin + p) * size;
            double *stress = a->stress + (begin + p) * size;
            double *tangent = a->tangent + (begin + p) * size * size;
            for (int i = 0; i < size; i++) stress[i] = 0.0;
            for (int i = 0; i < size * size; i++) tangent[i] = 0.0;
            for (int i = 0; i < kept; i++) {
                stress[place[i]] = s[p * L + i] - law_initial_stress[i];
                a->energy[begin + p] -= law_initial_stress[i] * given[place[i]];
                for (int j = 0; j < kept; j++)
                    tangent[place[i] * size + place[j]] = c[(p * L + i) * L + j];
            }
        }
    }
    return LAW_OK;
#endif
}

/* Density and volumetric part at one point. */
static void law_scale(int size, const double *strain, const law_scales *scales, double *stress,
                      double *tangent, double *energy_out, double *dissipation_out)
{
    const int normal = LAW_SHEET ? 2 : 3;
    double trace = 0.0;
    for (int i = 0; i < normal; i++) trace += strain[i];
    for (int i = 0; i < size; i++) {
        stress[i] = scales->density * stress[i] + (i < normal ? scales->bulk * trace : 0.0);
        for (int j = 0; j < size; j++)
            tangent[i * size + j] = scales->density * tangent[i * size + j]
                                    + (i < normal && j < normal ? scales->bulk : 0.0);
    }
    *energy_out = scales->density * *energy_out + 0.5 * scales->bulk * trace * trace;
    *dissipation_out *= scales->density;
}

typedef struct {
    double stress[6], tangent[36], states[LAW_MOST_STATES + 1];
    double energy, dissipation, residual, validity;
} law_answer;

/* One point: the trial, scaled. */
static int law_solid_point(int size, const double *strain, const double *strain_old,
                           const double *states, double dt, const law_scales *scales, law_answer *a)
{
    const law_answers to = {a->stress, a->states, a->tangent, &a->energy, &a->dissipation,
                            &a->residual, &a->validity};
    const int code = law_solid_trial(1, size, strain, strain_old, states, &dt, &to);
    if (code == LAW_OK)
        law_scale(size, strain, scales, a->stress, a->tangent, &a->energy, &a->dissipation);
    return code;
}

#if !LAW_SHEET
/* Find the strain zz of plane stress from its zero stress, then condense it. Where the incremental
   energy is convex in zz the stress falls along every Newton step; else a point may be refused.

       S_f -= C_fz S_z / C_zz,   C_ff -= C_fz C_zf / C_zz. */
static int law_plane_stress(double *strain, const double *strain_old, const double *states,
                            double dt, const law_scales *scales, law_answer *a)
{
    double base = strain[2], correction = 0.0, pull = HUGE_VAL, fraction = 1.0;
    int converged = 0;
    for (int iteration = 0; iteration < 60; iteration++) {
        const int code = law_solid_point(4, strain, strain_old, states, dt, scales, a);
        if (code != LAW_OK) return code;
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
    const double inverse = 1.0 / a->tangent[10], rest = a->stress[2];
    double column[4], row[4];
    for (int i = 0; i < 4; i++) {
        column[i] = a->tangent[i * 4 + 2];
        row[i] = a->tangent[2 * 4 + i];
    }
    for (int i = 0; i < 4; i++) {
        a->stress[i] -= column[i] * rest * inverse;
        for (int j = 0; j < 4; j++) a->tangent[i * 4 + j] -= column[i] * row[j] * inverse;
    }
    return LAW_OK;
}
#endif

static int law_solid_one(int kind, const double *strain, const double *strain_old,
                         const double *states, double dt, const law_scales *scales, law_answer *a)
{
    const int size = kind == LAW_SPACE ? 6 : 4;
#if !LAW_SHEET
    if (kind == LAW_PLANE_STRESS) {
        double e[4], e_old[4];
        memcpy(e, strain, sizeof e);
        memcpy(e_old, strain_old, sizeof e_old);
        e[2] = e_old[2] = states[LAW_PLANE_STATES];
        return law_plane_stress(e, e_old, states, dt / scales->time, scales, a);
    }
#endif
    return law_solid_point(size, strain, strain_old, states, dt / scales->time, scales, a);
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
    law_answer a;
    if (!strain || !strain_old || !states || !stress || !states_new || !tangent || !energy_out
        || !dissipation_out || !residual || !validity)
        return LAW_NULL;
    if (kind < LAW_SPACE || kind > LAW_PLANE_STRESS || count == 0) return LAW_SIZES;
    if (!law_scales_hold(density, bulk, time)) return LAW_POINTS;
    const int code = law_solid_one(kind, strain, strain_old, states, dt, &scales, &a);
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

/* The same at n_points points, points first, dt one number per point. Returns the number of points
   that did not converge, whose outputs mean nothing but for residual, or a negative code with nothing
   written. In plane stress the points are taken one by one. */
int LAW_NAME(solid_batch)(int kind, int64_t n_points, double density, double bulk, double time,
                          const double *strain, const double *strain_old, const double *states,
                          const double *dt, double *stress, double *states_new, double *tangent,
                          double *energy_out, double *dissipation_out, double *residual,
                          double *validity)
{
    const law_scales scales = {density, bulk, time};
    const int size = kind == LAW_SPACE ? 6 : 4, single = kind == LAW_PLANE_STRESS && !LAW_SHEET;
    const int count = LAW_NAME(solid_states)(kind);
    int failed = 0;
    if (!strain || !strain_old || !states || !dt || !stress || !states_new || !tangent || !energy_out
        || !dissipation_out || !residual || !validity)
        return LAW_NULL;
    if (kind < LAW_SPACE || kind > LAW_PLANE_STRESS || count == 0) return LAW_SIZES;
    if (n_points < 0 || !law_scales_hold(density, bulk, time)) return LAW_POINTS;
    for (int64_t begin = 0; begin < n_points;) {
        const int64_t left = n_points - begin, most = single ? 1 : LAW_CHUNK;
        const int64_t n = left < most ? left : most;
        const law_answers to = {stress + begin * size, states_new + begin * count,
                                tangent + begin * size * size, energy_out + begin,
                                dissipation_out + begin, residual + begin, validity + begin};
        const double *e = strain + begin * size, *e_old = strain_old + begin * size;
        int code;
        if (single) {
            law_answer a;
            code = law_solid_one(kind, e, e_old, states + begin * count, dt[begin], &scales, &a);
            if (code != LAW_OK) return code;
            memcpy(to.stress, a.stress, sizeof(double) * (size_t)size);
            memcpy(to.tangent, a.tangent, sizeof(double) * (size_t)(size * size));
            memcpy(to.states, a.states, sizeof(double) * (size_t)count);
            *to.energy = a.energy;
            *to.dissipation = a.dissipation;
            *to.residual = a.residual;
            *to.validity = a.validity;
        } else {
            double steps[LAW_CHUNK];
            for (int64_t p = 0; p < n; p++) steps[p] = dt[begin + p] / time;
            code = law_solid_trial(n, size, e, e_old, states + begin * count, steps, &to);
            if (code != LAW_OK) return code;
            for (int64_t p = 0; p < n; p++)
                law_scale(size, e + p * size, &scales, to.stress + p * size,
                          to.tangent + p * size * size, to.energy + p, to.dissipation + p);
        }
        for (int64_t p = 0; p < n; p++)
            if (!(residual[begin + p] <= LAW_TOLERANCE) && failed < INT32_MAX) failed++;
        begin += n;
    }
    return failed;
}
