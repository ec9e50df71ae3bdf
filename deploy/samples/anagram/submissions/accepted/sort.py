# Sorted up or sorted down: at least one is another word, unless all letters are the same.
word = input().strip()
up = "".join(sorted(word))
down = up[::-1]
print("-" if up == down else down if word == up else up)
