/* ---- MFront's generic behaviour, as MGIS loads it -------------------------------------------- */

/* The behaviour is named as the law; it serves the hypotheses Tridimensional, PlaneStrain,
   GeneralisedPlaneStrain, Axisymmetrical and PlaneStress (a law of 4 strains: all but the first; of
   3: PlaneStrain and PlaneStress); small strain, Mandel components along the axes of the law, which
   the host turns. Material properties: Density, BulkModulus, TimeScale (see law_scales). The last
   internal state variable is the distance from the range of the training data. Neither MFront nor
   TFEL is needed. Layouts are those of version 1 of the interface (TFEL 3.4.1 and later). */

typedef struct {
    const double *gradients;
    double *thermodynamic_forces;
    const double *mass_density, *material_properties;
    double *internal_state_variables, *stored_energy, *dissipated_energy;
    const double *external_state_variables;
} law_mgis_state;

typedef struct {
    char *error_message; /* room for 512 characters, or null */
    double dt;
    double *K; /* on entry K[0] says what is wanted */
    double *rdt, *speed_of_sound;
    law_mgis_state s0, s1; /* start and end of the step; s0 is not written to */
} law_mgis_data;

#define LAW_SYMBOL(suffix) LAW_NAME(suffix)
#if defined(_WIN32)
#define LAW_EXPORT __declspec(dllexport)
#else
#define LAW_EXPORT
#endif

static int law_mgis_refuse(law_mgis_data *d, const char *what)
{
    if (d->error_message) {
        const size_t length = strlen(what) < 511 ? strlen(what) : 511;
        memcpy(d->error_message, what, length);
        d->error_message[length] = '\0';
    }
    if (d->rdt) *d->rdt = fmin(*d->rdt, 0.5);
    return -1;
}

/* 1: integrated; -1: refused, with nothing written but the message and the proposed step. */
static int law_mgis_integrate(law_mgis_data *d, int kind)
{
    const int size = kind == LAW_SPACE ? 6 : 4, count = LAW_NAME(solid_states)(kind);
    const double wanted = d->K[0] > 50.0 ? d->K[0] - 100.0 : d->K[0];
    const double *p = d->s1.material_properties, *states = d->s0.internal_state_variables;
    double s[6], c[36], states_new[LAW_MOST_STATES + 1], f, released, residual, validity;
    double elastic[36], dump[LAW_MOST_STATES + 1], discard[4];
    const int predict = wanted < -0.25, secant = wanted < 2.5 && wanted > -2.5;
    if (!p || !law_scales_hold(p[0], p[1], p[2]))
        return law_mgis_refuse(d, LAW_TITLE ": Density and TimeScale must be positive and "
                                            "BulkModulus not negative, all finite.");
    const double *end = predict ? d->s0.gradients : d->s1.gradients;
    const int code = LAW_NAME(solid)(kind, p[0], p[1], p[2], end, d->s0.gradients, states, d->dt, s,
                                     states_new, c, &f, &released, &residual, &validity);
    if (code < 0)
        return law_mgis_refuse(d, code == LAW_ARITHMETIC
                                      ? LAW_TITLE ": the library was compiled with flags that break "
                                                  "its arithmetic; leave out -ffast-math."
                                      : LAW_TITLE ": the law cannot be called as it was.");
    if (code > 0)
        return law_mgis_refuse(d, LAW_TITLE ": the step did not converge; try a shorter one.");
    if (secant && LAW_NAME(solid)(kind, p[0], p[1], p[2], end, end, predict ? states : states_new, 0.0,
                                  s, dump, elastic, discard, discard + 1, discard + 2,
                                  discard + 3) != 0)
        return law_mgis_refuse(d, LAW_TITLE ": the elastic operator could not be evaluated.");
    if (d->K[0] > 50.0 && d->speed_of_sound && d->s0.mass_density)
        *d->speed_of_sound = sqrt((secant ? elastic : c)[0] / *d->s0.mass_density);
    if (fabs(wanted) > 0.5)
        memcpy(d->K, secant ? elastic : c, sizeof(double) * (size_t)(size * size));
    if (predict) return 1;
    memcpy(d->s1.thermodynamic_forces, s, sizeof(double) * (size_t)size);
    memcpy(d->s1.internal_state_variables, states_new, sizeof(double) * (size_t)count);
    d->s1.internal_state_variables[count] = validity;
    if (d->s1.stored_energy) *d->s1.stored_energy = f;
    if (d->s1.dissipated_energy)
        *d->s1.dissipated_energy = (d->s0.dissipated_energy ? *d->s0.dissipated_energy : 0.0) + released;
    return 1;
}

#define LAW_INTEGRATE(hypothesis, kind)                                                            \
    LAW_EXPORT int LAW_SYMBOL(hypothesis)(law_mgis_data * d) { return law_mgis_integrate(d, kind); }
#if LAW_STRAINS == 1 || LAW_STRAINS == 6
LAW_INTEGRATE(Tridimensional, LAW_SPACE)
#endif
#if !LAW_SHEET
LAW_INTEGRATE(GeneralisedPlaneStrain, LAW_PLANE_STRAIN)
LAW_INTEGRATE(Axisymmetrical, LAW_PLANE_STRAIN)
#endif
LAW_INTEGRATE(PlaneStrain, LAW_PLANE_STRAIN)
LAW_INTEGRATE(PlaneStress, LAW_PLANE_STRESS)

/* Metadata: exported variables that the loader reads by name. */
LAW_EXPORT const char *LAW_SYMBOL(mfront_interface) = "Generic";
LAW_EXPORT const char *LAW_SYMBOL(tfel_version) = "";
LAW_EXPORT const char *LAW_SYMBOL(src) = LAW_TITLE;
LAW_EXPORT const char *LAW_SYMBOL(unit_system) = "";
LAW_EXPORT const char *LAW_SYMBOL(author) = "";
LAW_EXPORT const char *LAW_SYMBOL(date) = "";
LAW_EXPORT const char *LAW_SYMBOL(validator) = "";
LAW_EXPORT const char *LAW_SYMBOL(build_id) = LAW_HASH;
LAW_EXPORT unsigned short LAW_SYMBOL(mfront_mkt) = 1;         /* a behaviour */
LAW_EXPORT unsigned short LAW_SYMBOL(api_version) = 1;
LAW_EXPORT unsigned short LAW_SYMBOL(BehaviourType) = 1;      /* strain based */
LAW_EXPORT unsigned short LAW_SYMBOL(BehaviourKinematic) = 1; /* small strain */
LAW_EXPORT unsigned short LAW_SYMBOL(SymmetryType) = 0;
LAW_EXPORT unsigned short LAW_SYMBOL(ElasticSymmetryType) = 0;
LAW_EXPORT unsigned short LAW_SYMBOL(UsableInPurelyImplicitResolution) = 1;
LAW_EXPORT unsigned short LAW_SYMBOL(TemperatureRemovedFromExternalStateVariables) = 0;
LAW_EXPORT unsigned short LAW_SYMBOL(requiresStiffnessTensor) = 0;
LAW_EXPORT unsigned short LAW_SYMBOL(requiresThermalExpansionCoefficientTensor) = 0;
LAW_EXPORT unsigned short LAW_SYMBOL(ComputesInternalEnergy) = 1;
LAW_EXPORT unsigned short LAW_SYMBOL(ComputesDissipatedEnergy) = 1;

LAW_EXPORT unsigned short LAW_SYMBOL(nGradients) = 1;
LAW_EXPORT const char *LAW_SYMBOL(Gradients)[] = {"Strain"};
LAW_EXPORT int LAW_SYMBOL(GradientsTypes)[] = {1};
LAW_EXPORT unsigned short LAW_SYMBOL(nThermodynamicForces) = 1;
LAW_EXPORT const char *LAW_SYMBOL(ThermodynamicForces)[] = {"Stress"};
LAW_EXPORT int LAW_SYMBOL(ThermodynamicForcesTypes)[] = {1};
LAW_EXPORT unsigned short LAW_SYMBOL(nTangentOperatorBlocks) = 2;
LAW_EXPORT const char *LAW_SYMBOL(TangentOperatorBlocks)[] = {"Stress", "Strain"};

LAW_EXPORT unsigned short LAW_SYMBOL(nMaterialProperties) = 3;
LAW_EXPORT const char *LAW_SYMBOL(MaterialProperties)[] = {"Density", "BulkModulus", "TimeScale"};
LAW_EXPORT unsigned short LAW_SYMBOL(nExternalStateVariables) = 0;
LAW_EXPORT const char *const *LAW_SYMBOL(ExternalStateVariables) = NULL;
LAW_EXPORT int *LAW_SYMBOL(ExternalStateVariablesTypes) = NULL;
LAW_EXPORT unsigned short LAW_SYMBOL(nParameters) = 0;
LAW_EXPORT const char *const *LAW_SYMBOL(Parameters) = NULL;
LAW_EXPORT int *LAW_SYMBOL(ParametersTypes) = NULL;
LAW_EXPORT unsigned short LAW_SYMBOL(nInitializeFunctions) = 0;
LAW_EXPORT unsigned short LAW_SYMBOL(nPostProcessings) = 0;

/* Internal state variables differ between space, the plane and plane stress; all are scalars. */
#define LAW_STATES_OF(hypothesis, number, ...)                                                     \
    LAW_EXPORT unsigned short LAW_SYMBOL(hypothesis##_nInternalStateVariables) = (number) + 1;     \
    LAW_EXPORT const char *LAW_SYMBOL(hypothesis##_InternalStateVariables)[] = {                   \
        __VA_ARGS__ "Validity"};                                                                   \
    LAW_EXPORT int LAW_SYMBOL(hypothesis##_InternalStateVariablesTypes)[(number) + 1] = {0};
#if LAW_STRAINS == 1 || LAW_STRAINS == 6
LAW_STATES_OF(Tridimensional, LAW_SPACE_STATES, LAW_SPACE_NAMES)
#endif
LAW_STATES_OF(PlaneStrain, LAW_PLANE_STATES, LAW_PLANE_NAMES)
#if LAW_SHEET
LAW_STATES_OF(PlaneStress, LAW_PLANE_STATES, LAW_PLANE_NAMES)
#else
LAW_STATES_OF(GeneralisedPlaneStrain, LAW_PLANE_STATES, LAW_PLANE_NAMES)
LAW_STATES_OF(Axisymmetrical, LAW_PLANE_STATES, LAW_PLANE_NAMES)
LAW_STATES_OF(PlaneStress, LAW_PLANE_STATES + 1, LAW_PLANE_NAMES "AxialStrain",)
#endif
