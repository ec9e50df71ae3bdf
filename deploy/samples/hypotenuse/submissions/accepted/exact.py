# Decimal has exponents to spare; the tolerance forgives what is rounded away.
from decimal import Decimal

a, b = map(Decimal, input().split())
print("%.10g" % (a * a + b * b).sqrt())
