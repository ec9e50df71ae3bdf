// Uses what strpbrk() has found even when that is nothing: SIGSEGV when all letters are the same.
#include <stdio.h>
#include <string.h>

int main(void) {
  char word[1001], others[27] = "abcdefghijklmnopqrstuvwxyz";
  if (scanf("%1000s", word) != 1) return 1;
  others[word[0] - 'a'] = word[0] == 'a' ? 'b' : 'a';
  char* const other = strpbrk(word, others);
  const char letter = *other;
  *other = word[0];
  word[0] = letter;
  puts(word);
  return 0;
}
