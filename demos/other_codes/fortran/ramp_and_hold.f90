! A material point in Fortran: strain ramped to 0.1 in time 0.5, then held until 2; stress over time.
!
!     ibvonn-fem emit-c exported_models/exact_trap --output .
!     cc -O2 -c constitutive.c
!     gfortran -O2 -o ramp_and_hold constitutive.f90 ramp_and_hold.f90 constitutive.o -lm
!     ./ramp_and_hold 40
program ramp_and_hold
    use, intrinsic :: iso_fortran_env, only: error_unit
    use exact_trap_law, only: dp, internal_size, update_point
    implicit none
    real(dp), parameter :: end_time = 2, ramp = 0.5_dp, held = 0.1_dp
    real(dp) :: strain(1), strain_old(1), stress(1), tangent(1, 1)
    real(dp) :: statev(internal_size), statev_new(internal_size)
    real(dp) :: dt, time, energy, dissipation, residual, validity
    integer :: n, steps, code
    character(len=16) :: argument

    steps = 40
    if (command_argument_count() > 0) then
        call get_command_argument(1, argument)
        read (argument, *) steps
    end if
    dt = end_time/steps
    strain_old = 0 ! the declared equilibrium
    statev = 0
    do n = 1, steps
        time = n*dt
        strain = held*min(time/ramp, 1.0_dp)
        code = update_point(strain, strain_old, statev, dt, stress, statev_new, tangent, &
                            energy, dissipation, residual, validity)
        if (code /= 0) error stop "a step did not converge"
        if (validity > 0) write (error_unit, *) "outside the range of training at time", time
        print '(2es25.16e3)', time, stress
        statev = statev_new
        strain_old = strain
    end do
end program ramp_and_hold
