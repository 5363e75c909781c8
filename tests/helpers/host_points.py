"""Material points of hosts that call an emitted C file: UMAT, MFront's generic behaviour."""

from __future__ import annotations

import numpy as np

ROOT = np.sqrt(2.0)
_DECLARATIONS = """
int NAME_solid_states(int);
int NAME_solid(int, double, double, double, const double *, const double *, const double *, double,
              double *, double *, double *, double *, double *, double *, double *);
int NAME_solid_batch(int, int64_t, double, double, double, const double *, const double *,
                     const double *, const double *, double *, double *, double *, double *,
                     double *, double *, double *);
int NAME_update_point(const double *, const double *, const double *, double, double *, double *,
                     double *, double *, double *, double *, double *);
void umat_(double *, double *, double *, double *, double *, double *, double *, double *, double *,
           double *, const double *, const double *, const double *, const double *, const double *,
           const double *, const double *, const double *, const char *, const int *, const int *,
           const int *, const int *, const double *, const int *, const double *, const double *,
           double *, const double *, const double *, const double *, const int *, const int *,
           const int *, const int *, const int *, const int *, int);
typedef struct {
    const double *gradients;
    double *thermodynamic_forces;
    const double *mass_density, *material_properties;
    double *internal_state_variables, *stored_energy, *dissipated_energy;
    const double *external_state_variables;
} mgis_state;
typedef struct {
    char *error_message;
    double dt;
    double *K, *rdt, *speed_of_sound;
    mgis_state s0, s1;
} mgis_data;
int NAME_Tridimensional(mgis_data *);
int NAME_PlaneStrain(mgis_data *);
int NAME_Axisymmetrical(mgis_data *);
int NAME_GeneralisedPlaneStrain(mgis_data *);
int NAME_PlaneStress(mgis_data *);
extern const char *NAME_mfront_interface;
extern const char *NAME_tfel_version;
extern const char *NAME_src;
extern unsigned short NAME_mfront_mkt;
extern unsigned short NAME_api_version;
extern unsigned short NAME_BehaviourType;
extern unsigned short NAME_BehaviourKinematic;
extern unsigned short NAME_SymmetryType;
extern unsigned short NAME_ElasticSymmetryType;
extern unsigned short NAME_requiresStiffnessTensor;
extern unsigned short NAME_requiresThermalExpansionCoefficientTensor;
extern unsigned short NAME_TemperatureRemovedFromExternalStateVariables;
extern unsigned short NAME_ComputesInternalEnergy;
extern unsigned short NAME_ComputesDissipatedEnergy;
extern unsigned short NAME_nGradients;
extern const char *NAME_Gradients[];
extern int NAME_GradientsTypes[];
extern unsigned short NAME_nThermodynamicForces;
extern const char *NAME_ThermodynamicForces[];
extern int NAME_ThermodynamicForcesTypes[];
extern unsigned short NAME_nTangentOperatorBlocks;
extern const char *NAME_TangentOperatorBlocks[];
extern unsigned short NAME_nMaterialProperties;
extern const char *NAME_MaterialProperties[];
extern unsigned short NAME_nExternalStateVariables;
extern unsigned short NAME_nParameters;
extern unsigned short NAME_Tridimensional_nInternalStateVariables;
extern const char *NAME_Tridimensional_InternalStateVariables[];
extern int NAME_Tridimensional_InternalStateVariablesTypes[];
extern unsigned short NAME_PlaneStress_nInternalStateVariables;
extern const char *NAME_PlaneStress_InternalStateVariables[];
extern unsigned short NAME_PlaneStrain_nInternalStateVariables;
extern const char *NAME_PlaneStrain_InternalStateVariables[];
"""


def declarations(name: str) -> str:
    """C declarations of what the file of a law has for hosts, ``name`` being its prefix."""
    return _DECLARATIONS.replace("NAME", name)


class Umat:
    """A material point of a host that calls ``umat_``."""

    def __init__(self, emitted, ndi, nshr, nstatv, props=()):
        self.ffi, self.functions = emitted
        self.sizes = [ndi, nshr, ndi + nshr, nstatv]
        n = ndi + nshr
        self.stress, self.statev, self.ddsdde = np.zeros(n), np.zeros(nstatv), np.zeros((n, n))
        self.props = np.array(props, dtype=float)
        self.sse, self.spd, self.pnewdt, self.drot = np.zeros(1), np.zeros(1), np.ones(1), np.eye(3)
        self.jstep = [1, 1, 0, 0]

    def __call__(self, stran, dstran, dtime):
        def real(values):
            return self.ffi.from_buffer("double[]", np.array(values, dtype=float))

        def whole(value):
            return self.ffi.new("int *", value)

        def own(array):
            return self.ffi.from_buffer("double[]", array)

        none, one = self.ffi.NULL, whole(1)
        self.functions.umat_(
            own(self.stress), own(self.statev), own(self.ddsdde), own(self.sse), own(self.spd),
            *[none] * 5, real(stran), real(dstran), real([0.0, 0.0]), real([dtime]), *[none] * 4,
            b"LAW", *(whole(size) for size in self.sizes), own(self.props), whole(len(self.props)),
            none, own(self.drot), own(self.pnewdt), *[none] * 3, *[one] * 4,
            self.ffi.new("int[4]", self.jstep), one, 3,
        )  # fmt: skip


class Behaviour:
    """A material point of a host that loads a behaviour as MGIS does."""

    def __init__(self, emitted, function, size, count):
        self.ffi, functions = emitted
        self.function = getattr(functions, function)
        n = size * size
        self.arrays = {
            "K": np.zeros(n), "rdt": np.ones(1), "speed_of_sound": np.zeros(1),
            "properties": np.array([2.0, 0.5, 4.0]), "density": np.array([3.0]),
        }  # fmt: skip
        self.s0, self.s1 = (
            {"gradients": np.zeros(size), "thermodynamic_forces": np.zeros(size),
             "internal_state_variables": np.zeros(count), "stored_energy": np.zeros(1),
             "dissipated_energy": np.zeros(1)}
            for _ in range(2)
        )  # fmt: skip
        self.message = self.ffi.new("char[512]")

    def __call__(self, wanted, dt):
        a, data = self.arrays, self.ffi.new("mgis_data *")
        a["K"][0] = wanted
        data.error_message, data.dt = self.message, dt
        for name in ("K", "rdt", "speed_of_sound"):
            setattr(data, name, self.ffi.from_buffer("double[]", a[name]))
        for state, values in ((data.s0, self.s0), (data.s1, self.s1)):
            for name, array in values.items():
                setattr(state, name, self.ffi.from_buffer("double[]", array))
            state.material_properties = self.ffi.from_buffer("double[]", a["properties"])
            state.mass_density = self.ffi.from_buffer("double[]", a["density"])
        return self.function(data)


def strings(ffi, array, count):
    return [ffi.string(array[i]).decode() for i in range(count)]
