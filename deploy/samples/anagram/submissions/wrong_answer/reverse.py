# A palindrome is the same word when read backwards.
word = input().strip()
print("-" if len(set(word)) == 1 else word[::-1])
