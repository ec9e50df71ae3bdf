# The body of the loop is not indented.
while True:
print("? 500", flush=True)
