# In "rejected" any verdict but AC is right: this one prints 7, or fails when a number is long.
line = input()
digits = [7, 7, 7, 7, 7, 7, 7, 7]
print(digits[len(line)])
