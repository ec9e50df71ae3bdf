# Makes a list of all permutations: 3 628 800 of them for ten letters.
from itertools import permutations

word = input().strip()
words = list(permutations(word[:10]))
others = ["".join(letters) + word[10:] for letters in words if letters != tuple(word[:10])]
print(others[0] if others else "-" if len(set(word)) == 1 else word[1:] + word[0])
