"""Pi by the Leibniz series, 4 (1 - 1/3 + 1/5 - 1/7 + ...): pi.py TERMS."""

import sys

terms = int(sys.argv[1])
total = 0.0
for n in range(terms):
    total += (-1.0 if n % 2 else 1.0) / (2 * n + 1)
    if (n + 1) % max(terms // 5, 1) == 0:
        print(f"{n + 1} terms: {4 * total}", file=sys.stderr)

print(4 * total)
