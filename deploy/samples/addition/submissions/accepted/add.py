# The plain solution in Python.
a, b = map(int, input().split())
print(a + b)
