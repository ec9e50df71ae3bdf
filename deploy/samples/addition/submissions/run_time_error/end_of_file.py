# Expects each number on a line of its own: the second input() raises EOFError.
a = input().split()[0]
b = input()
print(int(a) + int(b))
