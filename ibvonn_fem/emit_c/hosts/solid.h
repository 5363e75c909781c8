
/* Solids at small strain, kind: 0 space (6 Mandel components xx yy zz xy xz yz, factor sqrt(2) on
   shear), 1 plane strain or rotational symmetry (the first 4), 2 plane stress (4, zz is found).
   density: stress of the solid over stress of the law; bulk: modulus of an added volumetric part;
   time: the law's unit of time in the solid's. states: @NAME@_solid_states(kind) numbers. The batch
   has points first and one dt per point; it returns the number of points that did not converge.@SHEET@ */
int @NAME@_solid_states(int kind);
int @NAME@_solid(int kind, double density, double bulk, double time, const double *strain,
                 const double *strain_old, const double *states, double dt, double *stress,
                 double *states_new, double *tangent, double *energy, double *dissipation,
                 double *residual, double *validity);
int @NAME@_solid_batch(int kind, int64_t n_points, double density, double bulk, double time,
                       const double *strain, const double *strain_old, const double *states,
                       const double *dt, double *stress, double *states_new, double *tangent,
                       double *energy, double *dissipation, double *residual, double *validity);
