# Prints nan, which no tolerance accepts.
print(float("nan"))
