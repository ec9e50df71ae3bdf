# A Python program with the wrong extension.
print(input()[::-1])
