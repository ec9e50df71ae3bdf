// Another word, but with another letter too.
#include <stdio.h>

int main(void) {
  char word[1001];
  if (scanf("%1000s", word) != 1) return 1;
  word[0] = word[0] == 'z' ? 'a' : (char)(word[0] + 1);
  puts(word);
  return 0;
}
