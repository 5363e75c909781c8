// Samples of up to three dimensions on the nodes of a lattice, by cubic or linear interpolation.

#include <math.h>
#include <stdint.h>

enum { MOST_AXES = 3, MOST_NODES = 64 };

// Nodes low … low + shape − 1 along each axis, the last fastest; see lattice_bins.py.
struct grid {
    int axes;
    double origin[MOST_AXES], spacing[MOST_AXES];
    int64_t low[MOST_AXES], shape[MOST_AXES];
};

// Weights of the nodes around a cell's fraction t: two of linear, four of cubic interpolation.
static void interpolate(int order, double t, double *weight) {
    if (order == 2) {
        weight[0] = 1.0 - t;
        weight[1] = t;
        return;
    }
    weight[0] = -t * (t - 1.0) * (t - 2.0) / 6.0;
    weight[1] = (t + 1.0) * (t - 1.0) * (t - 2.0) / 2.0;
    weight[2] = -(t + 1.0) * t * (t - 2.0) / 2.0;
    weight[3] = (t + 1.0) * t * (t - 1.0) / 6.0;
}

// The number of the first node of a sample, and the weights of all of its nodes.
static int64_t spread(const struct grid *g, int order, const double *x, double *weights) {
    int64_t first = 0;
    int count = 1;
    weights[0] = 1.0;
    for (int axis = 0; axis < g->axes; axis++) {
        double position = (x[axis] - g->origin[axis]) / g->spacing[axis], own[4];
        double cell = floor(position);
        interpolate(order, position - cell, own);
        first = first * g->shape[axis] + (int64_t)cell - (order == 4) - g->low[axis];
        for (int i = count - 1; i >= 0; i--)
            for (int j = order - 1; j >= 0; j--) weights[i * order + j] = weights[i] * own[j];
        count *= order;
    }
    return first;
}

// Where the nodes of a sample are, counted from its first one; returns their number.
static int offsets(const struct grid *g, int order, int64_t *away) {
    int count = 1;
    away[0] = 0;
    for (int axis = 0; axis < g->axes; axis++) {
        for (int i = count - 1; i >= 0; i--)
            for (int j = order - 1; j >= 0; j--)
                away[i * order + j] = away[i] * g->shape[axis] + j;
        count *= order;
    }
    return count;
}

// Adds the weights of x (rows, samples, axes) to total (rows, size).
void bins_totals(const double *x, int64_t rows, int64_t samples, const struct grid *g, int order,
                 int64_t size, double *total) {
    double weights[MOST_NODES];
    int64_t away[MOST_NODES];
    int count = offsets(g, order, away);
    for (int64_t row = 0; row < rows; row++, total += size)
        for (int64_t s = 0; s < samples; s++, x += g->axes) {
            double *place = total + spread(g, order, x, weights);
            for (int i = 0; i < count; i++) place[away[i]] += weights[i];
        }
}

// Adds the products of the linear weights of two samples (samples, axes) to both (size, size).
void bins_pairs(const double *before, const double *after, int64_t samples, const struct grid *g,
                int64_t size, double *both) {
    double old[MOST_NODES], now[MOST_NODES];
    int64_t away[MOST_NODES];
    int count = offsets(g, 2, away);
    for (int64_t s = 0; s < samples; s++, before += g->axes, after += g->axes) {
        double *place = both + size * spread(g, 2, before, old);
        int64_t column = spread(g, 2, after, now);
        for (int i = 0; i < count; i++)
            for (int j = 0; j < count; j++)
                place[size * away[i] + column + away[j]] += old[i] * now[j];
    }
}
