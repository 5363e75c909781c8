! A law of several strains in Fortran: every line of stdin has dt and the strains at the end of a step,
! every line of stdout the stresses and the distance from the range of training.
!
!     ibvonn-fem emit-c exported_models/lattice --output .
!     cc -O2 -c constitutive.c
!     gfortran -O2 -o strain_path constitutive.f90 strain_path.F90 constitutive.o -lm
!     printf '10 0.05 0 0.01\n 10 0.05 0 0.01\n' | ./strain_path
!
! Another law: -DLAW=name_law.
#ifndef LAW
#define LAW lattice_law
#endif
program strain_path
    use LAW, only: dp, strain_size, internal_size, update_point
    implicit none
    real(dp), dimension(strain_size) :: old = 0, strain, stress
    real(dp), dimension(internal_size) :: statev = 0, statev_new ! the declared equilibrium
    real(dp) :: tangent(strain_size, strain_size)
    real(dp) :: dt, energy, dissipation, residual, validity
    integer :: status

    do
        read (*, *, iostat=status) dt, strain
        if (status /= 0) exit
        if (update_point(strain, old, statev, dt, stress, statev_new, tangent, energy, &
                         dissipation, residual, validity) /= 0) error stop "not converged"
        print '(*(es25.16e3))', stress, validity
        old = strain
        statev = statev_new
    end do
end program strain_path
