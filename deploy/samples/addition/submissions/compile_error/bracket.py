# A bracket is never closed: the syntax check finds it before any test.
a, b = map(int, input().split()
print(a + b)
