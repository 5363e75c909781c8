"""The compiled engine's Gaussian noise, and what follows from a seed."""

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
import torch
from scipy import special
from small_ensembles import small_ensemble

from ibvonn_train.files.c_compiler import CompilerError, find_compiler
from ibvonn_train.simulation import (
    Preparation,
    SpringChain,
    TetheredParticle,
    compiled,
    compiler,
)
from ibvonn_train.simulation import simulate_ensemble as ensemble
from ibvonn_train.simulation.plan import Plan
from ibvonn_train.simulation.protocols import ramp, smooth_pull

pytestmark = pytest.mark.usefixtures("c_compiler")


def normals(seed, pairs=2**14):
    """Normals of one block, shape ``(2 · pairs, lanes)``."""
    ffi, library = compiler.library()
    lanes = library.langevin_lanes()
    state = np.empty((1, 4, lanes), np.uint32)
    values = np.empty((2 * pairs, lanes), np.float32)
    library.langevin_seed(seed, 1, ffi.cast("uint32_t *", ffi.from_buffer(state)))
    library.langevin_normals(
        ffi.cast("uint32_t *", ffi.from_buffer(state)),
        pairs,
        ffi.cast("float *", ffi.from_buffer(values)),
    )
    return values.astype(float)


def rotl(x, k):
    return (x << np.uint32(k)) | (x >> np.uint32(32 - k))


def reference_normals(seed, pairs, lanes):
    """The same in NumPy: splitmix64 seeds xoshiro128++, Box and Muller's transform in double."""
    mask, words = 2**64 - 1, []
    for _ in range(4 * lanes):
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        z = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        words.append((z ^ (z >> 31)) >> 32)
    s = np.array(words, np.uint32).reshape(lanes, 4).T.copy()

    def random_words():
        result = rotl(s[0] + s[3], 7) + s[0]
        t = s[1] << np.uint32(9)
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotl(s[3], 11)
        return result

    values = []
    for _ in range(pairs):
        p, q = random_words(), random_words()
        radius = np.sqrt(-2 * np.log(((p >> np.uint32(1)) + 0.5) * 2.0**-31))
        angle = 2 * np.pi * q.astype(float) * 2.0**-32
        values += [radius * np.cos(angle), radius * np.sin(angle)]
    return np.array(values)


@pytest.mark.parametrize("seed", [0, 12345, 2**64 - 1])
def test_the_noise_is_xoshiro_through_box_and_muller_to_single_precision(seed):
    outcome = normals(seed, pairs=1000)
    expected = reference_normals(seed, 1000, outcome.shape[1])
    radius = np.hypot(expected[::2], expected[1::2]).repeat(2, axis=0)
    # The sine's remainder is 3e-7; that of r² = −2 ln u near u = 1 is the rounding of u, 6e-8.
    assert (np.abs(outcome - expected) / (5e-7 * radius + 1e-7 / radius)).max() < 1
    assert np.abs(outcome - reference_normals(seed ^ 1, 1000, outcome.shape[1])).max() > 1


def defects(values):
    """Deviations of many statistics of independent standard normals, in standard errors."""
    flat = values.ravel()
    n = flat.size
    z = {
        "mean": flat.mean() * np.sqrt(n),
        "variance": ((flat**2).mean() - 1) * np.sqrt(n / 2),
        "third moment": (flat**3).mean() * np.sqrt(n / 15),
        "fourth moment": ((flat**4).mean() - 3) * np.sqrt(n / 96),
    }
    for limit in (2.0, 3.0, 4.0, 4.75):
        for sign in (1, -1):
            expected = n * special.ndtr(-limit)
            outcome = np.count_nonzero(sign * flat > limit)
            z[f"tail beyond {sign * limit:+}"] = (outcome - expected) / np.sqrt(expected)
    bins = np.bincount((special.ndtr(flat) * 500).astype(int), minlength=500)
    z["histogram"] = (((bins - n / 500) ** 2).sum() / (n / 500) - 499) / np.sqrt(2 * 499)
    square = (values**2 - 1) / np.sqrt(2)
    for name, v in (("", values), (" of squares", square)):
        for lag in (1, 2, 3, 8):
            products = v[lag:] * v[:-lag]
            z[f"lag {lag}{name}"] = products.mean() * np.sqrt(products.size)
        for apart in (1, 7, 32):
            products = v * np.roll(v, apart, axis=1)
            z[f"lanes {apart} apart{name}"] = products.mean() * np.sqrt(products.size)
    return z


def test_the_noise_is_standard_normal_and_independent():
    z = defects(normals(seed=3))
    # 27 statistics: the largest of so many exceeds 4.5 once in 5000 seeds.
    assert max(map(abs, z.values())) < 4.5, z


@pytest.mark.parametrize(
    ("flaw", "statistic"),
    [
        (lambda z: np.random.default_rng(0).random((12, *z.shape)).sum(0) - 6, "fourth moment"),
        (lambda z: np.clip(z, -4.0, 4.0), "tail beyond +4.0"),
        (lambda z: z + 5e-3 * np.roll(z, 1, axis=1), "lanes 1 apart"),
        (lambda z: 1.01 * z, "variance"),
        (lambda z: np.where(np.abs(z) < 0.01, 0.02, z), "histogram"),
    ],
    ids=["sum of twelve", "cut tails", "lanes correlated", "one per cent", "hole at zero"],
)
def test_flaws_of_the_noise_are_detected(flaw, statistic):
    assert abs(defects(flaw(normals(seed=3, pairs=2**13)))[statistic]) > 4.5


def test_streams_of_other_seeds_are_unrelated():
    values = [normals(seed) for seed in (0, 1, 2**63)]
    for one, two in ((0, 1), (0, 2), (1, 2)):
        product = values[one] * values[two]
        assert abs(product.mean()) * np.sqrt(product.size) < 4.5


def test_seeds_and_protocols_give_streams_of_their_own():
    def stream(seed, case):
        return Plan(
            TetheredParticle(), np.zeros((1, 2)), 0.1, 1, 2, seed, None, torch.float32, "cpu"
        ).stream(case)

    streams = {stream(seed, case) for seed in range(50) for case in range(50)}
    assert len(streams) == 2500


def record(engine="compiled", protocols=3, seed=5, dtype=torch.float32):
    chain = SpringChain(springs=4, preparation=(Preparation(30, 0.01, 2.0), Preparation(20, 0.01)))
    pulls = [smooth_pull(0.02, 0.05 + 0.01 * i) for i in range(protocols)]
    return small_ensemble(
        chain, pulls, duration=0.3, replicas=150, seed=seed, stride=3, dtype=dtype, engine=engine
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_number_of_threads_does_not_change_a_bit(monkeypatch, dtype):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    one = record(dtype=dtype)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    three = record(dtype=dtype)
    assert np.array_equal(one.microstate, three.microstate)
    assert one.sha256() == three.sha256()
    assert one.sha256() != record(dtype=dtype, seed=6).sha256()


def test_the_size_of_a_call_of_the_library_does_not_change_a_bit(monkeypatch):
    whole = record()
    monkeypatch.setattr(compiled, "CALL_SIZE", 7 * 3 * 150)
    assert np.array_equal(whole.microstate, record().microstate)


@pytest.mark.parametrize("engine", ["torch", "compiled"])
def test_a_protocol_does_not_depend_on_its_company(engine):
    assert np.array_equal(record(engine, 1).microstate[0], record(engine, 3).microstate[0])
    together = record(engine, 3).microstate
    assert abs(np.corrcoef(together[0, -1, 0, :, 0], together[1, -1, 0, :, 0])[0, 1]) < 0.37


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("engine", ["torch", "compiled"])
def test_ctrl_c_ends_a_simulation(monkeypatch, engine, threads):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(compiled, "CALL_SIZE", 2**22)
    endless = SpringChain(preparation=(Preparation(10**9, 0.01),))
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        small_ensemble(
            endless,
            [ramp(0.01, 0.1), ramp(0.01, 0.2)],
            duration=1.0,
            replicas=100,
            seed=0,
            engine=engine,
        )
    assert time.monotonic() - start < 60
    assert not [t for t in threading.enumerate() if t.name.startswith("ThreadPool")]


def test_without_a_compiler_torch_takes_over_and_says_so(monkeypatch, caplog):
    def none():
        raise CompilerError("no C compiler (cc) was found")

    with_torch = record("torch").microstate
    monkeypatch.setattr(ensemble, "library", none)
    with caplog.at_level("WARNING"):
        assert np.array_equal(record("auto").microstate, with_torch)
    assert [r.getMessage() for r in caplog.records] == [
        "simulating with torch, which is slower: no C compiler (cc) was found"
    ]
    with pytest.raises(ValueError, match=r"is not available: no C compiler \(cc\) was found"):
        record("compiled")


def test_a_compiler_that_is_missing_or_fails_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("IBVONN_CACHE", str(tmp_path))
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(CompilerError, match="no-such-compiler"):
        compiler.library.__wrapped__()
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho 'out of order' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    with pytest.raises(CompilerError, match="failed with: out of order"):
        compiler.library.__wrapped__()
    assert [path.name for path in tmp_path.iterdir()] == ["cc"]


def test_without_cffi_the_reason_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "cffi", None)
    with pytest.raises(CompilerError, match="cffi cannot be imported"):
        compiler.library.__wrapped__()


def test_a_compiler_without_native_code_is_asked_for_plain_code(monkeypatch, tmp_path):
    plain = tmp_path / "cc"
    real = find_compiler()
    plain.write_text(
        f'#!/bin/sh\ncase "$*" in *march=native*) echo no >&2; exit 1;; esac\nexec {real} "$@"\n'
    )
    plain.chmod(0o755)
    monkeypatch.setenv("CC", str(plain))
    monkeypatch.setenv("IBVONN_CACHE", str(tmp_path / "cache"))
    _, library = compiler.library.__wrapped__()
    assert library.langevin_lanes() > 0


def test_a_cache_that_cannot_be_written_is_no_obstacle(monkeypatch, tmp_path):
    blocked = tmp_path / "a file"
    blocked.touch()
    monkeypatch.setenv("IBVONN_CACHE", str(blocked / "cache"))
    _, library = compiler.library.__wrapped__()
    assert library.langevin_lanes() > 0
