# The right answer, and debug output without end: stderr has a limit too.
import sys

a, b = map(int, input().split())
print(a + b, flush=True)
while True:
    print("a =", a, "b =", b, "still here" * 100, file=sys.stderr)
