
        ! kind: 0 space, 1 plane strain, 2 plane stress; Mandel components.
        function solid(kind, density, bulk, time, strain, strain_old, states, dt, stress, &
                       states_new, tangent, energy, dissipation, residual, validity) &
            result(code) bind(c, name="@NAME@_solid")
            import :: c_double, c_int
            integer(c_int), value :: kind
            real(c_double), value :: density, bulk, time, dt
            real(c_double), intent(in) :: strain(*), strain_old(*), states(*)
            real(c_double), intent(out) :: stress(*), states_new(*), tangent(*)
            real(c_double), intent(out) :: energy, dissipation, residual, validity
            integer(c_int) :: code
        end function solid

        ! The same at several points, with the point as last index and one dt per point.
        function solid_batch(kind, n_points, density, bulk, time, strain, strain_old, states, dt, &
                             stress, states_new, tangent, energy, dissipation, residual, validity) &
            result(code) bind(c, name="@NAME@_solid_batch")
            import :: c_double, c_int, c_int64_t
            integer(c_int), value :: kind
            integer(c_int64_t), value :: n_points
            real(c_double), value :: density, bulk, time
            real(c_double), intent(in) :: strain(*), strain_old(*), states(*), dt(*)
            real(c_double), intent(out) :: stress(*), states_new(*), tangent(*)
            real(c_double), intent(out) :: energy(*), dissipation(*), residual(*), validity(*)
            integer(c_int) :: code
        end function solid_batch

        function solid_states(kind) result(count) bind(c, name="@NAME@_solid_states")
            import :: c_int
            integer(c_int), value :: kind
            integer(c_int) :: count
        end function solid_states
