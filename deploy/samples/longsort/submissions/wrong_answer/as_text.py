# Sorts words instead of numbers: "100" comes before "20".
import sys

print(*sorted(sys.stdin.read().split()[1:]))
