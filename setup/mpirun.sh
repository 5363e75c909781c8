#!/usr/bin/env bash
# Runs a command on several ranks: bash setup/mpirun.sh RANKS COMMAND...
# The first rank writes to the terminal; the others' output is kept in build/ranks (or the folder
# IBVONN_RANK_LOGS: runs at the same time need one each) and shown if the run fails.
set -euo pipefail

project_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [ "${1:-}" = --as-rank ]; then
    shift
    rank=${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-${PMIX_RANK:-0}}}
    # At its exit pytest clears old temporary folders: ranks that share them delete the same file twice.
    export PYTEST_DEBUG_TEMPROOT=$IBVONN_RANK_LOGS/tmp-$rank
    mkdir -p "$PYTEST_DEBUG_TEMPROOT"
    if [ "$rank" -eq 0 ]; then
        # Through a pipe, because the launcher's pseudo-terminal would invite colours and progress bars.
        "$@" 2>&1 | cat
        exit
    fi
    exec "$@" >"$IBVONN_RANK_LOGS/rank-$rank.log" 2>&1
fi

ranks=$1
shift
# A launcher of another MPI would start independent runs of one rank each. The wheel of DOLFINx
# brings MPICH; the distribution's DOLFINx, and ours, use its Open MPI.
launcher=mpirun
case $(cat "$project_folder/.venv/ibvonn-route" 2>/dev/null) in
    wheel) launcher=$project_folder/.venv/bin/mpiexec ;;
    distribution | build) ! command -v mpirun.openmpi >/dev/null || launcher=mpirun.openmpi ;;
esac
# Open MPI refuses to run as root, which a container's only user often is, and counts cores.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
options=()
if "$launcher" --version 2>&1 | grep -qE 'Open ?MPI|OpenRTE'; then
    options=(--oversubscribe)
fi
export IBVONN_RANK_LOGS=${IBVONN_RANK_LOGS:-$project_folder/build/ranks}
mkdir -p "$IBVONN_RANK_LOGS"
rm -f "$IBVONN_RANK_LOGS"/rank-*.log
export IBVONN_RANKS=$ranks
# One rank that fails alone leaves the others waiting in a collective call: hence the time limit.
status=0
timeout --signal=TERM --kill-after=10 "${IBVONN_MPI_TIMEOUT:-900}" \
    "$launcher" "${options[@]}" -n "$ranks" bash "${BASH_SOURCE[0]}" --as-rank "$@" || status=$?
if [ "$status" -ne 0 ]; then
    for log in "$IBVONN_RANK_LOGS"/rank-*.log; do
        [ ! -e "$log" ] || { printf -- '--- %s ---\n' "$(basename "$log")" && tail -n 30 "$log"; } >&2
    done
    [ "$status" -ne 124 ] || printf 'the run on %s ranks was ended: it took longer than %s s\n' \
        "$ranks" "${IBVONN_MPI_TIMEOUT:-900}" >&2
fi
exit "$status"
