// Looks for another letter by recursion, without an end when there is none: StackOverflowError.
import java.util.Scanner;

public class Recursion {
  static int other(String word, int index) {
    return word.charAt(index % word.length()) != word.charAt(0) ? index : other(word, index + 1);
  }

  public static void main(String[] args) {
    String word = new Scanner(System.in).next();
    int index = other(word, 1);
    System.out.println(word.substring(index) + word.substring(0, index));
  }
}
