"""Reference values for the Beta distribution, with arbitrary precision.

Prints the two Rust tables in the tests of src/domain/beta.rs (about two minutes). Needs mpmath:  pip install mpmath
"""
from mpmath import betainc, exp, log, loggamma, mp, mpf, nstr, quad, sqrt

SHAPES = [("0.5", "0.5"), ("1", "1"), ("2", "3"), ("0.05", "0.2"), ("0.2", "0.05"), ("97", "3"), ("951", "51"),
          ("1e4", "2e2"), ("1e6", "1e6"), ("5e8", "5e8"), ("9.7e9", "3e8")]
LEVELS = ["0.001", "0.05", "0.5", "0.9", "0.95", "0.999"]


class Hill:
    """P(log-odds <= z): the incomplete beta function, or for large shapes the integral of the normalised density."""

    def __init__(self, a, b):
        self.a, self.b = mpf(a), mpf(b)
        self.n = self.a + self.b
        self.mode = log(self.a / self.b)
        self.width = sqrt(1 / self.a + 1 / self.b)
        self.norm = loggamma(self.a) + loggamma(self.b) - loggamma(self.n)

    def density(self, z):
        softplus = z + mp.log1p(exp(-z)) if z > 0 else mp.log1p(exp(z))
        return exp(self.a * z - self.n * softplus - self.norm)

    def cdf(self, z):
        if self.n < 2000:
            return betainc(self.a, self.b, 0, sigmoid(z), regularized=True)
        steps = [self.mode + k * self.width for k in range(-60, 61, 2)]
        points = [steps[0]] + [s for s in steps[1:] if s < z] + [z]
        return quad(self.density, points) if z > steps[0] else mpf(0)

    def quantile(self, q):
        q = mpf(q)
        low, high = self.mode - 40 * self.width, self.mode + 40 * self.width
        for _ in range(12):
            middle = (low + high) / 2
            low, high = (middle, high) if self.cdf(middle) < q else (low, middle)
        z = (low + high) / 2
        for _ in range(30):
            step = (self.cdf(z) - q) / self.density(z)
            z = min(max(z - step, low), high)
            if abs(step) < self.width * mpf(10) ** -25:
                break
        return z


def sigmoid(z):
    return 1 / (1 + exp(-z))


def prob_at_least(a1, b1, a2, b2, margin):
    """P(p1 >= p2 - margin) = 1 - P(p1 < p2 - margin), integrated over the log-odds of p2."""
    one, two, m = Hill(a1, b1), Hill(a2, b2), mpf(margin)

    def cdf_one(x):
        if x <= 0:
            return mpf(0)
        if x >= 1:
            return mpf(1)
        return betainc(one.a, one.b, 0, x, regularized=True)

    steps = (1, 2, 3.5, 5, 7, 10, 14, 20, 30, 40, 60)
    points = [two.mode + k * two.width for k in sorted([-k for k in steps] + [0, *steps])]
    if m > 0:
        kink = log(m / (1 - m))
        points = sorted(points + [kink])
    return quad(lambda z: two.density(z) * (1 - cdf_one(sigmoid(z) - m)), points)


def main():
    print("const CDF_REFERENCE: &[(f64, f64, f64, f64)] = &[")
    mp.dps = 30
    for a, b in SHAPES:
        hill = Hill(a, b)
        for level in LEVELS:
            x = float(sigmoid(hill.quantile(level)))  # the double a program would hold
            if not 0 < x < 1:
                continue
            exact = hill.cdf(log(mpf(x) / (1 - mpf(x))))
            print(f"    ({a}, {b}, {x!r}, {nstr(exact, 12)}),")
    print("];")
    mp.dps = 20
    print("const PROB_REFERENCE: &[(f64, f64, f64, f64, f64, f64)] = &[")
    for case in [("97", "3", "951", "51", "0.02"), ("2", "3", "1", "1", "0"), ("2", "3", "3", "2", "0.1"),
                 ("0.5", "0.5", "2", "3", "0.02"), ("0.05", "0.2", "1", "1", "0.02"), ("0.05", "0.2", "0.5", "0.5", "0.05"),
                 ("5", "5", "2000", "2100", "-0.01"), ("188", "14", "4700", "200", "0.02")]:
        print("    (" + ", ".join(case) + f", {nstr(prob_at_least(*case), 12)}),", flush=True)
    print("];")


if __name__ == "__main__":
    main()
