# Reads everything at once: input() in a loop would be slower.
import sys

values = list(map(int, sys.stdin.buffer.read().split()[1:]))
values.sort()
print(*values)
