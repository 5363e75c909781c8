! Fortran 2008 module over constitutive.c: compile both, link with -lm.
! Arrays of several points have the point as last index. Codes: 0 converged, a positive number of
! points that did not converge, negative: wrong arguments. Outputs as in constitutive.h.
module @NAME@_law
    use, intrinsic :: iso_c_binding, only: c_double, c_int, c_int64_t
    implicit none
    private
    public :: update, update_point, rates@PUBLIC@

    integer, parameter, public :: dp = c_double
    integer, parameter, public :: strain_size = @STRAINS@, internal_size = @INTERNALS@
    character(len=*), parameter, public :: parameters_sha256 = &
        "@HASH@"

    interface
        function update(n_points, strain, strain_old, statev, dt, stress, statev_new, tangent, &
                        energy, dissipation, residual, validity) &
            result(code) bind(c, name="@NAME@_update")
            import :: c_double, c_int, c_int64_t, strain_size, internal_size
            integer(c_int64_t), value :: n_points
            real(c_double), intent(in) :: strain(strain_size, *), strain_old(strain_size, *)
            real(c_double), intent(in) :: statev(internal_size, *), dt(*)
            real(c_double), intent(out) :: stress(strain_size, *), statev_new(internal_size, *)
            real(c_double), intent(out) :: tangent(strain_size, strain_size, *)
            real(c_double), intent(out) :: energy(*), dissipation(*), residual(*), validity(*)
            integer(c_int) :: code
        end function update

        function update_point(strain, strain_old, statev, dt, stress, statev_new, tangent, &
                              energy, dissipation, residual, validity) &
            result(code) bind(c, name="@NAME@_update_point")
            import :: c_double, c_int, strain_size, internal_size
            real(c_double), intent(in) :: strain(strain_size), strain_old(strain_size)
            real(c_double), intent(in) :: statev(internal_size)
            real(c_double), value :: dt
            real(c_double), intent(out) :: stress(strain_size), statev_new(internal_size)
            real(c_double), intent(out) :: tangent(strain_size, strain_size)
            real(c_double), intent(out) :: energy, dissipation, residual, validity
            integer(c_int) :: code
        end function update_point

        function rates(n_points, strain, statev, energy, stress, driving_force, rate) &
            result(code) bind(c, name="@NAME@_rates")
            import :: c_double, c_int, c_int64_t, strain_size, internal_size
            integer(c_int64_t), value :: n_points
            real(c_double), intent(in) :: strain(strain_size, *), statev(internal_size, *)
            real(c_double), intent(out) :: energy(*), stress(strain_size, *)
            real(c_double), intent(out) :: driving_force(internal_size, *), rate(internal_size, *)
            integer(c_int) :: code
        end function rates
@SOLID@    end interface
end module @NAME@_law
