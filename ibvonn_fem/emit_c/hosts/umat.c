/* ---- Abaqus, CalculiX and others: UMAT ------------------------------------------------------- */

/* Small strain. Trusses (NDI = 1, NSHR = 0; laws of one strain: the law itself), space (3, 3), plane
   strain and rotational symmetry (3, 1), plane stress (2, 1). The undeformed body bears no stress:
   it is at the equilibrium of the law, whose stress there is subtracted. Components are those along
   the axes of the host's orientation, which are the axes of the law.

   A sheet (a law of 3 strains): plane strain and plane stress, which are the same for it, and (3, 3)
   for hosts that make bricks of plane elements (CalculiX). There the stresses 33, 13 and 23 are 0 and
   their stiffness is that of 11, so that no matrix is singular; strains across the plane are refused,
   as are those of rotational symmetry.

   DDSDDE is not symmetric where a population has three states or more: Abaqus needs UNSYMM in *USER
   MATERIAL, CalculiX takes the symmetric part, which costs iterations alone.

   NSTATV: the number that LAW_NAME(solid_states) gives (trusses: the number of internal variables);
   one more, if there is room, holds the distance from the range of the training data (0 inside).
   PROPS: density, bulk, time (see law_scales), each with a default: 1, 0, 1.
   STRESS, DDSDDE, SSE, SPD and STATEV are updated. STRESS is a result alone, from STRAN, DSTRAN and
   STATEV: an initial stress (*INITIAL CONDITIONS, TYPE=STRESS) is dropped, and one seen in the first
   increment is said on stderr, once. Where a point does not converge or an input is not finite they are left
   alone and PNEWDT asks for half the step; after a step that converged PNEWDT stays. A wrong set-up
   and compiler flags that break the arithmetic stop the analysis with a message. */
#include <stdio.h>
#include <stdlib.h>

#ifndef LAW_UMAT /* name of the symbol: a second law in one program needs another */
#define LAW_UMAT umat_
#endif
#ifndef LAW_STOP /* what to do about a wrong set-up, after the message */
#define LAW_STOP() exit(EXIT_FAILURE)
#endif

static int law_umat_refuse(const char *what, int found)
{
    fprintf(stderr, LAW_TITLE ": UMAT: %s; found %d.\n", what, found);
    LAW_STOP();
    return -1;
}

/* Kinds of element beside those of solids: a truss, and a sheet whose strains come as in space. */
enum { LAW_TRUSS = 3, LAW_THICK_SHEET = 4 };

/* Kind of element, -1 if refused. */
static int law_umat_kind(int ndi, int nshr, int ntens)
{
    if (ndi + nshr != ntens) return law_umat_refuse("NTENS must be NDI + NSHR", ntens);
    if (ndi == 1 && nshr == 0 && LAW_STRAINS == 1) return LAW_TRUSS;
    if (ndi == 3 && nshr == 3 && LAW_SHEET) return LAW_THICK_SHEET;
    if (ndi == 3 && nshr == 3 && LAW_STRAINS != 4) return LAW_SPACE;
    if (ndi == 3 && nshr == 1) return LAW_PLANE_STRAIN;
    if (ndi == 2 && nshr == 1) return LAW_PLANE_STRESS;
    return law_umat_refuse("this law has no such element (NDI and NSHR as 10 NDI + NSHR)",
                           10 * ndi + nshr);
}

/* A large-displacement analysis shows in its increments of rotation, and, with -DLAW_JSTEP for hosts
   that pass JSTEP(4) in place of KSTEP (CalculiX, Abaqus since 2016), in JSTEP(3). */
static int law_umat_is_large(const double *drot, const int *step)
{
    double largest = 0.0;
    for (int i = 0; drot && i < 9; i++)
        largest = fmax(largest, fabs(drot[i] - (i % 4 == 0 ? 1.0 : 0.0)));
#ifdef LAW_JSTEP
    if (step[2] == 1) return 1;
#else
    (void)step;
#endif
    return largest > 1e-8;
}

/* Where the law has not given an answer: a negative code is a fault of the set-up, which no shorter
   step mends. PNEWDT comes as 1 or more from Abaqus, as -1 from CalculiX. */
static void law_umat_failed(int code, double *pnewdt)
{
    if (code == LAW_ARITHMETIC)
        law_umat_refuse("the file was compiled with flags that break its arithmetic; leave out "
                        "-ffast-math and what it stands for; code", code);
    else if (code < 0)
        law_umat_refuse("the law cannot be called; code", code);
    else if (!(*pnewdt > 0.0 && *pnewdt < 0.5))
        *pnewdt = 0.5;
}

/* Before anything has happened, a stress can only be an initial stress. */
static void law_umat_warn_of_initial_stress(int n, const double *stress, const double *stran,
                                            int count, const double *statev, int element)
{
    static int said = 0;
    double happened = 0.0, initial = 0.0;
    for (int i = 0; i < n; i++) happened += fabs(stran[i]), initial += fabs(stress[i]);
    for (int i = 0; i < count; i++) happened += fabs(statev[i]);
    if (said || happened != 0.0 || !(initial > 0.0)) return;
    said = 1;
    fprintf(stderr,
            LAW_TITLE ": UMAT: the initial stress of element %d (and of others) is dropped; the "
                      "stress follows from the strain and its history alone.\n", element);
}

void LAW_UMAT(double *stress, double *statev, double *ddsdde, double *sse, double *spd, double *scd,
              double *rpl, double *ddsddt, double *drplde, double *drpldt, const double *stran,
              const double *dstran, const double *time, const double *dtime, const double *temp,
              const double *dtemp, const double *predef, const double *dpred, const char *cmname,
              const int *ndi, const int *nshr, const int *ntens, const int *nstatv,
              const double *props, const int *nprops, const double *coords, const double *drot,
              double *pnewdt, const double *celent, const double *dfgrd0, const double *dfgrd1,
              const int *noel, const int *npt, const int *layer, const int *kspt, const int *kstep,
              const int *kinc, int cmname_length)
{
    /* Places of the host's components (11 22 33 12 13 23) among Mandel's; -1: a sheet has none. */
    enum { ACROSS = LAW_SHEET ? -1 : 2 };
    static const int place[5][6] = {{0, 1, 2, 3, 4, 5}, {0, 1, ACROSS, 3}, {0, 1, 3}, {0},
                                    {0, 1, ACROSS, 3, -1, -1}};
    const double root2 = 1.4142135623730951, rest[3] = {1.0, 0.0, 1.0};
    double scale[3], f, released, residual, validity;
    (void)scd, (void)rpl, (void)ddsddt, (void)drplde, (void)drpldt, (void)temp;
    (void)dtemp, (void)predef, (void)dpred, (void)cmname, (void)coords, (void)celent;
    (void)dfgrd0, (void)dfgrd1, (void)noel, (void)npt, (void)layer, (void)kspt;
    (void)kinc, (void)cmname_length;

    const int kind = law_umat_kind(*ndi, *nshr, *ntens);
    if (kind < 0) return;
    const int solid = kind == LAW_THICK_SHEET ? LAW_PLANE_STRAIN : kind;
    const int count = kind == LAW_TRUSS ? LAW_INTERNALS : LAW_NAME(solid_states)(solid);
    if (*nstatv < count) {
        fprintf(stderr, LAW_TITLE ": UMAT: this element needs %d state variables.\n", count);
        law_umat_refuse("*DEPVAR (NSTATV) is too small", *nstatv);
        return;
    }
    if (*nprops > 3) {
        law_umat_refuse("there are at most 3 constants: density, bulk, time", *nprops);
        return;
    }
    for (int i = 0; i < 3; i++) scale[i] = i < *nprops ? props[i] : rest[i];
    if (!law_scales_hold(scale[0], scale[1], scale[2])) {
        law_umat_refuse("density and time must be positive and bulk not negative, all finite; constants given",
                        *nprops);
        return;
    }
    if (law_umat_is_large(drot, kstep)) {
        law_umat_refuse("the law is for small strains: switch off large displacements (NLGEOM); "
                        "first seen in element", *noel);
        return;
    }

    if (time && time[1] == 0.0)
        law_umat_warn_of_initial_stress(*ntens, stress, stran, count, statev, *noel);

    double states[LAW_MOST_STATES + 1];
    int code;
    if (kind == LAW_TRUSS) {
#if LAW_STRAINS == 1
        const double e = law_initial_strain[0] + stran[0] + dstran[0];
        const double e_old = law_initial_strain[0] + stran[0];
        double s, c;
        code = LAW_NAME(update_point)(&e, &e_old, statev, *dtime / scale[2], &s, states, &c, &f,
                                      &released, &residual, &validity);
        if (code != 0) {
            law_umat_failed(code, pnewdt);
            return;
        }
        stress[0] = scale[0] * (s - law_initial_stress[0]);
        ddsdde[0] = scale[0] * c;
        *sse = scale[0] * (f - law_initial_stress[0] * (e - law_initial_strain[0]));
        *spd += scale[0] * released;
#endif
    } else {
        double e[6] = {0.0}, e_old[6] = {0.0}, s[6], c[36], largest = 0.0, across = 0.0;
        const int n = *ntens, size = solid == LAW_SPACE ? 6 : 4;
        for (int i = 0; i < n; i++) {
            const int a = place[kind][i];
            const double old = stran[i], now = stran[i] + dstran[i];
            largest = fmax(largest, fabs(now));
            if (a < 0) {
                across = fmax(across, fabs(now));
                if (!(fabs(now) <= LAW_HUGE)) e[0] = NAN; /* what the law does not see is refused, too */
                continue;
            }
            e_old[a] = a < 3 ? old : old / root2;
            e[a] = a < 3 ? now : now / root2;
        }
        if (across > 1e-8 * largest && across <= LAW_HUGE) {
            law_umat_refuse("a law of the plane has no stress across it, and there are strains across; "
                            "use elements of plane strain or plane stress; first seen in element",
                            *noel);
            return;
        }
        code = LAW_NAME(solid)(solid, scale[0], scale[1], scale[2], e, e_old, statev, *dtime, s,
                               states, c, &f, &released, &residual, &validity);
        if (code != 0) {
            law_umat_failed(code, pnewdt);
            return;
        }
        for (int i = 0; i < n; i++) {
            const int a = place[kind][i];
            stress[i] = a < 0 ? 0.0 : a < 3 ? s[a] : s[a] / root2;
            for (int j = 0; j < n; j++) { /* column by column */
                const int b = place[kind][j];
                if (a < 0 || b < 0)
                    ddsdde[i + n * j] = i == j && kind == LAW_THICK_SHEET ? c[0] : 0.0;
                else
                    ddsdde[i + n * j] = c[a * size + b] / ((a < 3 ? 1.0 : root2) * (b < 3 ? 1.0 : root2));
            }
        }
        *sse = f;
        *spd += released;
    }
    memcpy(statev, states, sizeof(double) * (size_t)count);
    if (*nstatv > count) statev[count] = validity;
}
