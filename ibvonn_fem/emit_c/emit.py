"""Writing a law as one C99 file without dependencies, with a header and a Fortran module.

The file holds the kernel of ``kernels/law.c`` and the weights: the project has one kernel source.
Its entry points: a batch of points, one point, continuous time; solids, of laws of one strain
carried by fibres in many directions; UMAT; the generic behaviour of MFront.
"""

from __future__ import annotations

import logging
import re
import textwrap
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from .. import kernels
from ..directions import lebedev
from ..errors import ExportedModelError
from ..files.plain_files import write_file
from ..kernels.base import FloatArray
from ..kernels.compiler import DERIVATIVE_SOURCE, POPULATION_SOURCES, SOURCES
from ..kernels.packing import PackedLaw, pack
from ..model.carried_laws import is_carried
from ..model.exported_model import C_FAMILIES
from ..model.mandel import not_mandel
from ..model.manifest import Manifest, read_manifest

logger = logging.getLogger(__name__)

SOLID_STRAINS = (1, 3, 4, 6)
"""Numbers of strain components with which a law can be a solid."""

LARGEST_WORKSPACE = 2**17
"""Bound on the workspace in doubles (1 MiB): it is on the stack of the host's thread."""

_LANES = 8  # the widest registers law_lanes.h knows
_MANDEL = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


def emit_c(
    model: str | Path,
    output: str | Path | None = None,
    *,
    directions: int = 55,
    derivatives: bool = False,
) -> list[Path]:
    """Write ``constitutive.c``, ``constitutive.h`` and ``constitutive.f90`` of an exported law.

    Args:
        model: An exported directory of family ``convex_potentials`` or ``populations``, or the
            name of a carried law.
        output: Folder to write into (default: the exported directory; a carried law needs one).
        directions: Directions of the microsphere that carries a law of one strain in solids.
        derivatives: Also write ``NAME_derivatives``: d(σ, α⁺)/d(ε⁺, ε_n, α_n, Δt) of a step.

    Returns:
        The paths of the three files.

    Raises:
        ExportedModelError: If the directory is no such model, or its law is too large.
        ValueError: If there is no such set of directions, or no folder to write into.
    """
    if output is None and is_carried(model):
        raise ValueError(
            f"{model}: is a law of the package, where nothing is written. Give the folder to write "
            "into (--output)."
        )
    manifest = read_manifest(model)
    manifest.verify_files()
    if manifest.family not in C_FAMILIES:
        raise ExportedModelError(
            f"{manifest.directory}: only models of the families {' and '.join(C_FAMILIES)} can be "
            f"written in C; this one is of family '{manifest.family}'. Use its constitutive.onnx."
        )
    law = pack(manifest.read_arrays("parameters.npz"), f"{manifest.directory}/parameters.npz")
    workspace = (derivative_vectors if derivatives else workspace_vectors)(law) * _LANES
    if workspace > LARGEST_WORKSPACE:
        raise ExportedModelError(
            f"{manifest.directory}: the law needs {workspace * 8} bytes of workspace per call; "
            f"{LARGEST_WORKSPACE * 8} are allowed. Export a smaller network."
        )
    emission = _Emission(manifest, law, directions, derivatives)
    if not emission.solid:
        logger.warning(
            "%s: the C file gets no UMAT, no MGIS behaviour and no solid: %s. Its other functions "
            "are those of the law.",
            manifest.directory,
            emission.not_solid,
        )
    folder = manifest.directory if output is None else Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "constitutive.c": emission.source(),
        "constitutive.h": emission.header(),
        "constitutive.f90": emission.fortran(),
    }
    paths = []
    for name, text in texts.items():
        path = folder / name
        write_file(path, text.encode("ascii"))
        paths.append(path)
    return paths


def symbol(name: str) -> str:
    """Prefix of every symbol: the model's name as a C identifier."""
    identifier = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").lower()
    return identifier if identifier[:1].isalpha() else f"law_{identifier}"


def workspace_vectors(law: PackedLaw) -> int:
    """Length of the kernel's workspace in blocks of points: ``lay_out`` of law_data.h and slack."""
    e, n, layers, _, k = (int(size) for size in law.sizes[:5])
    widths = [int(width) for width in law.sizes[5 : 5 + layers]]
    d, means = e + n, law.mean_size
    context = [d, *law.context_widths]
    if means:
        context.append(means * (means + 1) // 2 + k)
    if law.populations:
        context += [d + law.pair_count, *law.rate_widths, law.pair_count]
    widest = max([1, *widths])
    network = sum(widths) * (d + 3) + widest * (d + 2)
    local = 3 * d + 6 * n + d * d + 2 * n * n + n * d + e * e
    return network + local + 2 * max(context) + 8 * k + 1 + _population_vectors(law)


def derivative_vectors(law: PackedLaw) -> int:
    """The same with derivatives of a step: and ``lay_out_derivatives`` of law_derivatives.h."""
    e, n, k = law.strain_size, law.internal_size, int(law.sizes[4])
    d, means, pairs = e + n, law.mean_size, law.pair_count
    r, columns = 1 + d, 2 * e + n + 1
    outputs = means * (means + 1) // 2 + k if means else 0
    states = int(law.group_rows[:, 1].max()) if law.populations else 0
    widest = max([d + pairs, outputs, *law.context_widths, *law.rate_widths])
    networks = 2 * widest * r + n * d + pairs * d + outputs * r
    systems = n * (d + 1) + states * (states + d + 1) + n * (n + columns)
    return workspace_vectors(law) + networks + systems + d * columns + n + n * n


def _population_vectors(law: PackedLaw) -> int:
    """What a law with populations needs beside."""
    if not law.populations:
        return 0
    n, states = law.internal_size, law.group_rows[:, 1]
    most = int(states.max()) if states.max() > 2 else 0
    fractions = 4 * int(states.sum())
    return 2 * n * n + 14 * n + fractions + law.pair_count + most * most * (most + 5)


@dataclass(frozen=True)
class _Emission:
    manifest: Manifest
    law: PackedLaw
    directions: int
    derivatives: bool = False

    @property
    def name(self) -> str:
        return symbol(self.manifest.name)

    @property
    def solid(self) -> bool:
        return not self.not_solid

    @property
    def not_solid(self) -> str:
        """Why the law cannot be a solid of other codes; empty if it can."""
        if self.law.strain_size not in SOLID_STRAINS:
            return (
                f"they need a law of 1, 3, 4 or 6 strains, and this one has {self.law.strain_size}"
            )
        wrong = not_mandel(self.manifest)
        return f"they need strains in Mandel order, and {wrong}" if wrong else ""

    @property
    def _sheet(self) -> str:
        """What the header says beside of a law of the plane."""
        if self.law.strain_size != 3:
            return ""
        return (
            "\n   This law is one of the plane: kinds 1 and 2 are the same, without a stress zz or"
            "\n   a state beside those of the law, and kind 0 is refused."
        )

    @property
    def kind(self) -> int:
        """Which of the specialised loops of ``law.c`` serves the law: its ``kind_of``."""
        e, n = self.law.strain_size, self.law.internal_size
        if not self.law.populations:
            return n if e == 1 and n <= 2 else 0
        known = self.law.populations == n == e and self.law.two_states and n in (1, 3, 6)
        return 100 + (n if known else 0)

    @property
    def hash(self) -> str:
        """Checksum of the weights alone: a new model card does not change the C file."""
        return self.manifest.sha256["parameters.npz"]

    def fill(self, text: str, **more: str) -> str:
        """Replace the @KEYS@ of a template."""
        m = self.manifest
        values = {
            "NAME": self.name,
            "UPPER": self.name.upper(),
            "GUARD": f"{self.name.upper()}_CONSTITUTIVE_H",
            "TITLE": _ascii(m.name),
            "DESCRIPTION": _ascii(m.description),
            "STRAIN": _listing(m.strain_components, m.raw["strain"]["measure"]),
            "STRESS": _listing(m.stress_components, m.raw["stress"]["measure"]),
            "INTERNAL": _listing(m.internal_components, m.raw["internal"]["meaning"]),
            "UNITS": _ascii(", ".join(f"{key} {value}" for key, value in m.units.items())),
            "TOLERANCE": repr(m.residual_tolerance),
            "STRAINS": str(self.law.strain_size),
            "INTERNALS": str(self.law.internal_size),
            "HASH": self.hash,
            "FORMAT": str(m.raw["format"]),
            "TANGENT": ", symmetric" if self.law.two_states else "",
            **more,
        }
        return re.sub(r"@([A-Z]+)@", lambda match: values[match.group(1)], text)

    def header(self) -> str:
        solid = self.fill(_host("solid.h"), SHEET=self._sheet) if self.solid else ""
        more = self.fill(_host("derivatives.h")) if self.derivatives else ""
        return self.fill(_host("constitutive.h"), SOLID=solid, DERIVATIVES=more)

    def fortran(self) -> str:
        solid = self.fill(_host("solid.f90")) if self.solid else ""
        public = ", solid, solid_batch, solid_states" if self.solid else ""
        return self.fill(_host("law.f90"), SOLID=solid, PUBLIC=public)

    def source(self) -> str:
        hosts = ["point.c", *(["solid.c", "umat.c", "mgis.c"] if self.solid else [])]
        unused = set() if self.law.populations else set(POPULATION_SOURCES)
        if self.derivatives:
            hosts.insert(1, "derivatives.c")
        else:
            unused.add(DERIVATIVE_SOURCE)
        parts = [
            self._preamble(),
            _kernel(SOURCES[-1], unused),
            self._data(),
            *(_host(name) for name in hosts),
        ]
        return "\n".join(part.strip("\n") + "\n" for part in parts)

    def _preamble(self) -> str:
        m = self.manifest
        about = f"{_ascii(m.name)}: {_ascii(m.description)}"
        hosts = (
            "UMAT (umat_), MFront's generic behaviour"
            if self.solid
            else _ascii(f"none; {self.not_solid}")
        )
        return (
            "/* "
            + "\n   ".join(textwrap.wrap(about, 92))
            + f"""

   parameters.npz sha256 {self.hash}, format {m.raw["format"]}, licence {_ascii(m.raw["licence"])}.
   Written by `ibvonn-fem emit-c`. One C99 file, nothing but libm:

       cc -O3 -march=native -fno-math-errno -fno-trapping-math -c constitutive.c
       cc -O2 -fPIC -shared -o libconstitutive.so constitutive.c -lm

   Without -ffast-math and -Ofast, which are refused (icx, ifx: -fp-model=precise). Entry points:
   those of constitutive.h; other codes: {hosts}. */
#define LAW_API static LAW_UNUSED
#if defined(__GNUC__)
#define LAW_UNUSED __attribute__((unused))
#else
#define LAW_UNUSED
#endif
#define LAW_KIND {self.kind}"""
        )

    def _data(self) -> str:
        m, law = self.manifest, self.law
        lines = [
            "/* ---- this law "
            "------------------------------------------------------------------------------- */",
            "",
            f"#define LAW_NAME(suffix) {self.name}_##suffix",
            f'#define LAW_TITLE "{_ascii(m.name)}"',
            f'#define LAW_HASH "{self.hash}"',
            f"#define LAW_STRAINS {law.strain_size}",
            f"#define LAW_INTERNALS {law.internal_size}",
            f"#define LAW_TOLERANCE {m.residual_tolerance!r}",
            f"#define LAW_WORKSPACE_SIZE ({workspace_vectors(law)} * LAW_LANES)",
            *self._derivative_size(),
            "#define LAW_COUNT(array) ((int64_t)(sizeof(array) / sizeof(array[0])))",
            "",
            _array("static const int64_t law_sizes[]", law.sizes),
            _array("static const double law_weights[]", law.weights),
            _array("static LAW_UNUSED const double law_initial_strain[]", m.initial_state.strain),
            _array("static LAW_UNUSED const double law_initial_stress[]", m.initial_state.stress),
        ]
        if self.solid:
            lines += self._solid_data()
        return "\n".join(lines)

    def _derivative_size(self) -> list[str]:
        if not self.derivatives:
            return []
        return [f"#define LAW_DERIVATIVE_SIZE ({derivative_vectors(self.law)} * LAW_LANES)"]

    def _solid_data(self) -> list[str]:
        names = [_ascii(name) for name in self.manifest.internal_components]
        if self.law.strain_size > 1:
            listed = _names([f"{name}" for name in names])
            return [f"#define LAW_SPACE_NAMES {listed}", f"#define LAW_PLANE_NAMES {listed}"]
        try:
            rule = lebedev(self.directions)
        except ImportError as error:
            raise RuntimeError(
                f"emit_c: the directions of a solid need scipy >= 1.15 ({error}); install it."
            ) from error
        lines = []
        for setting, components in (("space", range(6)), ("plane", range(4))):
            projection, weight = merged_directions(rule.vectors, rule.weights, list(components))
            count = len(weight)
            listed = _names([f"{name}_{k + 1}" for k in range(count) for name in names])
            lines += [
                f"#define LAW_{setting.upper()}_DIRECTIONS {count}",
                f"#define LAW_{setting.upper()}_NAMES {listed}",
                _array(f"static const double law_{setting}_projection[]", projection.reshape(-1)),
                _array(f"static const double law_{setting}_weight[]", weight),
            ]
        return lines


def merged_directions(
    vectors: FloatArray, weights: FloatArray, components: list[int]
) -> tuple[FloatArray, FloatArray]:
    """Projections n⊗n on some Mandel components, equal ones merged, with summed weights."""
    root = np.sqrt(2.0)
    rows = np.stack(
        [(1.0 if i == j else root) * vectors[:, i] * vectors[:, j] for i, j in _MANDEL], axis=1
    )[:, components]
    _, first, of = np.unique(
        np.round(rows, 12) + 0.0, axis=0, return_index=True, return_inverse=True
    )
    summed: FloatArray = np.bincount(of.reshape(-1), weights=weights).astype(np.float64)
    order = np.argsort(first)
    return np.ascontiguousarray(rows[first[order]]), summed[order]


def _kernel(name: str, included: set[str]) -> str:
    """A kernel source in which every include of the project is replaced by its text, once.

    ``included`` are those that have been, or are left out.
    """
    if name in included:
        return ""
    included.add(name)
    text = files(kernels).joinpath("c", name).read_text(encoding="ascii")
    return re.sub(
        r'#include "(law_\w+\.h)"\n', lambda match: _kernel(match.group(1), included), text
    )


def _host(name: str) -> str:
    return files(__package__).joinpath("hosts", name).read_text(encoding="ascii")


def _ascii(text: str) -> str:
    """Text that may stand in a C comment or string of any compiler."""
    replaced = (
        text.replace("√", "sqrt ").replace("−", "-").replace("λ", "lambda").replace("α", "alpha")
    )
    plain = replaced.encode("ascii", "replace").decode("ascii")
    return re.sub(r'[\\"]', "'", plain.replace("*/", "* /").replace("/*", "/ *")).replace("\n", " ")


def _listing(components: tuple[str, ...], meaning: str) -> str:
    return _ascii(f"{', '.join(components)} ({meaning})")


def _names(names: list[str]) -> str:
    quoted = "".join(f'"{name}", ' for name in names)
    return " \\\n    ".join(textwrap.wrap(quoted, 92))


def _array(declaration: str, values: FloatArray | np.ndarray) -> str:
    """A C array; repr of a float64 is exact."""
    listed = ", ".join(repr(value) for value in np.asarray(values).tolist())
    return f"{declaration} = {{\n{textwrap.indent(textwrap.fill(listed, 96), '    ')}}};"
