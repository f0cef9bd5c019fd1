"""Fits the polynomials of crates/vitport-nn/src/elementary.rs and prints them as Rust constants.

Needs mpmath. Every fit is a Remez exchange in 60 digits on the weighted error that the Rust
code cares about; the printed bound is the weighted error before rounding to float32.
"""

import mpmath as mp

mp.mp.dps = 60


def remez(target, weight, lo, hi, degree, rounds=12, grid=1500):
    """Coefficients c (rising powers) that level weight(x) * (sum c_k x^k - target(x)) on [lo, hi]."""
    lo, hi = mp.mpf(lo), mp.mpf(hi)
    count = degree + 2
    nodes = [(lo + hi) / 2 - (hi - lo) / 2 * mp.cos(mp.pi * i / (count - 1)) for i in range(count)]
    points = [lo + (hi - lo) * mp.mpf(i) / grid for i in range(grid + 1)]
    truth = [target(x) for x in points]
    weights = [weight(x) for x in points]
    for _ in range(rounds):
        system = mp.matrix(count, count)
        right = mp.matrix(count, 1)
        for row, x in enumerate(nodes):
            for k in range(degree + 1):
                system[row, k] = x**k
            system[row, degree + 1] = (-1) ** row / weight(x)
            right[row] = target(x)
        solution = mp.lu_solve(system, right)
        coefficients = [solution[k] for k in range(degree + 1)]
        error = [w * (mp.polyval(coefficients[::-1], x) - t) for x, t, w in zip(points, truth, weights)]
        extrema, start = [], 0
        for i in range(1, len(error) + 1):
            if i == len(error) or (error[i] > 0) != (error[start] > 0):
                extrema.append(max(range(start, i), key=lambda j: abs(error[j])))
                start = i
        while len(extrema) > count:
            extrema.pop(0 if abs(error[extrema[0]]) < abs(error[extrema[-1]]) else -1)
        if len(extrema) < count:
            break
        nodes = [points[i] for i in extrema]
    return coefficients, max(abs(e) for e in error)


def show(name, coefficients, bound):
    print(f"// {name}: weighted error {mp.nstr(bound, 3)}")
    for c in coefficients:
        print(f"    {mp.nstr(c, 10)},")


# exp(r) = 1 + r + r^2 P(r) on half an octave either side of 1; relative error of exp.
half = mp.log(2) / 2
near_zero = lambda r: abs(r) < mp.mpf("1e-12")
show(
    "EXP",
    *remez(
        lambda r: mp.mpf(1) / 2 if near_zero(r) else (mp.e**r - 1 - r) / r**2,
        lambda r: (r**2 + mp.mpf("1e-6")) / mp.e**r,
        -half,
        half,
        4,
    ),
)
# erfc(a) = exp(-a^2 + a G(a)) for a >= 0: a G(a) = ln(erfc(a) exp(a^2)), fitted on [0, 6]. An error of
# the exponent is a relative error of erfc, which matters less and less against 1 as erfc falls.
show(
    "LN_ERFCX",
    *remez(
        lambda a: -2 / mp.sqrt(mp.pi) if a < mp.mpf("1e-30") else (mp.log(mp.erfc(a)) + a**2) / a,
        lambda a: (a + mp.mpf("1e-3")) * (mp.erfc(a) + mp.mpf("1e-4")),
        0,
        6,
        10,
    ),
)
