# int("1.5") raises ValueError.
a, b = map(int, input().split())
print((a * a + b * b) ** 0.5)
