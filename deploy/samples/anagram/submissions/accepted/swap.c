// Swaps the first letter with the first other one.
#include <stdio.h>

int main(void) {
  char word[1001];
  if (scanf("%1000s", word) != 1) return 1;
  for (int i = 1; word[i] != '\0'; i++) {
    if (word[i] == word[0]) continue;
    const char letter = word[0];
    word[0] = word[i];
    word[i] = letter;
    return puts(word) < 0;
  }
  puts("-");
  return 0;
}
