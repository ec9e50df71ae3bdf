// Moves the first letter to the end: the same word again only when all letters are the same.
import java.util.Scanner;

public class Rotate {
  public static void main(String[] args) {
    String word = new Scanner(System.in).next();
    String rotated = word.substring(1) + word.charAt(0);
    System.out.println(rotated.equals(word) ? "-" : rotated);
  }
}
