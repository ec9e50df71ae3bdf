# Plays well, but ends with status 1.
import sys

low, high = 1, 1001
while high - low > 1:
    middle = (low + high) // 2
    print("?", middle, flush=True)
    if input() == "lower":
        high = middle
    else:
        low = middle
print("!", low)
sys.exit(1)
